"""Which rules of a schema speak about one value?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry

Rule = Mapping[str, Any]
_ALWAYS = ("allOf",)
_CHOICES = ("anyOf", "oneOf")
_BRANCHES = ("then", "else")


def validator(schema: Rule) -> Any:
    """Return a validator of the newest draft that never fetches a schema from anywhere."""
    return Draft202012Validator(dict(schema), registry=Registry())


def fits(root: Any, rule: Any, value: Any) -> bool:
    """Whether a value fits one rule of the schema whose validator `root` is."""
    return bool(root.evolve(schema=rule).is_valid(value))


def every_part(schema: Rule, rule: Any) -> Iterator[Rule]:
    """Yield all that the schema may say about the value of `rule`, whatever the conditions."""
    seen: list[int] = []

    def walk(each: Any) -> Iterator[Rule]:
        if not isinstance(each, Mapping) or id(each) in seen:
            return
        seen.append(id(each))
        yield each
        for inner in _inner(schema, each):
            yield from walk(inner)

    yield from walk(rule)


def _inner(schema: Rule, rule: Rule) -> Iterator[Any]:
    for word in (*_ALWAYS, *_CHOICES):
        yield from _listed(rule, word)
    for word in _BRANCHES:
        yield rule.get(word)
    yield from _mapped(rule, "dependentSchemas").values()
    yield referred(schema, rule)


def applying_parts(root: Any, rule: Any, value: Any) -> Iterator[Rule]:
    """Yield what the schema says about `value` as it is when each part is asked for."""
    seen: list[int] = []

    def walk(each: Any) -> Iterator[Rule]:
        if not isinstance(each, Mapping) or id(each) in seen:
            return
        seen.append(id(each))
        yield each
        for inner in _chosen(root, each, value):
            yield from walk(inner)
        seen.remove(id(each))

    yield from walk(rule)


def _chosen(root: Any, rule: Rule, value: Any) -> Iterator[Any]:
    yield referred(root.schema, rule)
    for word in _ALWAYS:
        yield from _listed(rule, word)
    if "if" in rule:
        yield rule.get("then" if fits(root, rule["if"], value) else "else")
    for word in _CHOICES:
        choices = _listed(rule, word)
        yield from [each for each in choices if fits(root, each, value)] or choices
    if isinstance(value, Mapping):
        dependent = _mapped(rule, "dependentSchemas")
        yield from (each for name, each in dependent.items() if name in value)


def rules_of_name(parts: Sequence[Rule], name: str) -> Iterator[Any]:
    """Yield every rule that the parts have for the property `name`."""
    for part in parts:
        yield _mapped(part, "properties").get(name)
        for pattern, rule in _mapped(part, "patternProperties").items():
            if re.search(pattern, name):
                yield rule
        yield part.get("additionalProperties")
        yield part.get("unevaluatedProperties")


def rules_of_place(parts: Sequence[Rule], place: int) -> Iterator[Any]:
    """Yield every rule that the parts have for the entry of a list at `place`."""
    for part in parts:
        first = _listed(part, "prefixItems")
        if place < len(first):
            yield first[place]
        for word in ("items", "contains", "unevaluatedItems"):
            yield part.get(word)


def names_of(parts: Iterator[Rule] | Sequence[Rule]) -> frozenset[str]:
    """Return the properties that the parts name."""
    return frozenset(name for part in parts for name in _mapped(part, "properties"))


def condition_names(rule: Any) -> frozenset[str]:
    """Return the properties on which an `if` depends."""
    if not isinstance(rule, Mapping):
        return frozenset()
    names = {*_mapped(rule, "properties"), *(str(each) for each in rule.get("required", ()))}
    for word in (*_ALWAYS, *_CHOICES):
        names = names.union(*(condition_names(each) for each in _listed(rule, word)))
    return frozenset(names | condition_names(rule.get("not")))


def conditional_blocks(rule: Rule) -> Iterator[Rule]:
    """Yield the parts of a rule that hold an `if`: itself, and those in its `allOf`."""
    if "if" in rule:
        yield rule
    yield from (each for each in _listed(rule, "allOf") if isinstance(each, Mapping))


def referred(schema: Rule, rule: Rule) -> Any:
    """Return what a rule's local `$ref` points to; None if it has none that leads anywhere."""
    target = rule.get("$ref")
    if not isinstance(target, str) or not target.startswith("#/"):
        return schema if target == "#" else None
    place: Any = schema
    for part in target[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, Mapping) or key not in place:
            return None
        place = place[key]
    return place


def _listed(rule: Rule, word: str) -> Sequence[Any]:
    found = rule.get(word)
    return found if isinstance(found, list) else ()


def _mapped(rule: Rule, word: str) -> Mapping[str, Any]:
    found = rule.get(word)
    return found if isinstance(found, Mapping) else {}
