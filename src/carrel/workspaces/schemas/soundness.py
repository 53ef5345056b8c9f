"""Is this a schema that templates can have, and how do old ones become one?"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from carrel.workspaces.schemas.parts import every_part, fits, referred, validator

Path = tuple[str | int, ...]
_LITERAL = frozenset({"const", "enum", "default", "examples", "uiSchema", "pipeline"})
"""What stands below these is a value, not a rule."""
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Below these every key is a name."""
_DEEPEST = 64


def normalise(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as the newest draft reads it, without what older ones left in.

    Drops `$schema` and every `$id`, and `const: null`, which AzureTRE's tools leave behind;
    lists in `items` become `prefixItems`, `dependencies` become the two that replaced it.
    """
    found = _normalised(schema)
    assert isinstance(found, dict)
    found.pop("$schema", None)
    return found


def schema_problems(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str, bool]]:
    """Yield `(path, sentence, is serious)` for what is wrong with a schema itself.

    What is not serious has no effect: a default that its own rule refuses.
    """
    if not isinstance(schema.get("properties"), Mapping):
        yield (), "needs `properties`, a group of rules by name.", True
        return
    broken = False
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        broken = True
        yield tuple(error.absolute_path), f"{error.message}.", True
    for path, rule in _rules(schema, ()):
        for sentence in _wrong_words(schema, rule):
            broken = True
            yield path, sentence, True
    if not broken:
        yield from _vain_defaults(schema)


def _vain_defaults(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str, bool]]:
    root = validator(schema)
    for path, rule in _rules(schema, ()):
        if "default" in rule and not fits(root, rule, rule["default"]):
            yield (*path, "default"), "does not fit its own rule, so it is never used.", False


def _wrong_words(schema: Mapping[str, Any], rule: Mapping[str, Any]) -> Iterator[str]:
    target, target_rule = rule.get("$ref"), referred(schema, rule)
    if target is not None and target_rule is None:
        yield f"$ref {target!r} leads nowhere in this schema; nothing is fetched from elsewhere."
    elif target is not None and any(each is rule for each in every_part(schema, target_rule)):
        yield f"$ref {target!r} comes back to itself without end."
    if "$dynamicRef" in rule:
        yield "$dynamicRef is not supported. Use $ref."
    for pattern in (rule.get("pattern"), *_keys(rule.get("patternProperties"))):
        try:
            re.compile(pattern or "")
        except (re.error, TypeError) as error:
            yield f"the pattern {pattern!r} is no regular expression: {error}."
    for word in ("updateable", "sensitive"):
        if word in rule and not isinstance(rule[word], bool):
            yield f"{word} must be true or false."


def _keys(found: Any) -> list[str]:
    return list(found) if isinstance(found, Mapping) else []


def _rules(rule: Any, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield every rule in a schema with its path."""
    if not isinstance(rule, Mapping) or len(path) > _DEEPEST:
        return
    yield path, rule
    for word, inner in rule.items():
        if word in _LITERAL:
            continue
        if isinstance(inner, Mapping) and word in _NAMED:
            for name, each in inner.items():
                yield from _rules(each, (*path, word, name))
        elif isinstance(inner, list):
            for place, each in enumerate(inner):
                yield from _rules(each, (*path, word, place))
        else:
            yield from _rules(inner, (*path, word))


def _normalised(rule: Any) -> Any:
    if not isinstance(rule, Mapping):
        return rule
    found: dict[str, Any] = {}
    for word, inner in rule.items():
        if word == "$id" or (word == "const" and inner is None):
            continue
        if word == "items" and isinstance(inner, list):
            found["prefixItems"] = [_normalised(each) for each in inner]
        elif word == "dependencies" and isinstance(inner, Mapping):
            found |= _dependencies(inner)
        else:
            found[word] = _inside(word, inner)
    return found


def _inside(word: str, inner: Any) -> Any:
    if word in _LITERAL:
        return inner
    if isinstance(inner, Mapping) and word in _NAMED:
        return {name: _normalised(each) for name, each in inner.items()}
    if isinstance(inner, list):
        return [_normalised(each) for each in inner]
    return _normalised(inner)


def _dependencies(old: Mapping[str, Any]) -> dict[str, Any]:
    required = {name: each for name, each in old.items() if isinstance(each, list)}
    schemas = {name: _normalised(each) for name, each in old.items() if isinstance(each, Mapping)}
    return {"dependentRequired": required, "dependentSchemas": schemas}
