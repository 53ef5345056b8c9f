"""What may become of properties after their resource was made?"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from carrel.workspaces.schemas.defaults import with_defaults
from carrel.workspaces.schemas.parts import (
    Rule,
    applying_parts,
    condition_names,
    conditional_blocks,
    every_part,
    names_of,
    rules_of_name,
    validator,
)
from carrel.workspaces.schemas.problems import check_properties, conditions_of, unknown_sentence
from carrel.workspaces.schemas.values import InvalidProperties


def changed_properties(
    schema: Mapping[str, Any],
    old: Mapping[str, Any],
    patch: Mapping[str, Any],
    *,
    former: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return `old` with `patch` applied, and the defaults that it makes apply.

    `schema` is that of the version that the resource is going to have, `former` that of the one
    it had, if it is another: a property that is new may be given though it is fixed from then
    on. Sensitive values must be the real ones in `old` and `patch`.

    As in AzureTRE a conditional property may be in a patch only together with the properties on
    which it depends (those of them that can change at all). What was given under a condition
    that holds no more is dropped.

    Raises `InvalidProperties` for a property that is unknown, wrong, or fixed at creation.
    """
    if problems := list(_refusals(schema, old, patch, former)):
        raise InvalidProperties(problems)
    merged = _settled(schema, {**old, **patch}, patch, former)
    check_properties(schema, merged)
    return merged


def updateable_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the properties that may change after creation, as a whole or in part."""
    parts = list(every_part(schema, schema))
    return frozenset(
        name
        for name in names_of(parts)
        if any(_may_change(schema, rule) for rule in rules_of_name(parts, name))
    )


def for_update(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with `readOnly` on every property that cannot be changed any more."""
    shown: dict[str, Any] = json.loads(json.dumps(schema))
    for part in _branches(shown):
        for rule in part.get("properties", {}).values():
            if isinstance(rule, dict) and rule.get("updateable") is not True:
                rule["readOnly"] = True
    return shown


def _refusals(
    schema: Rule, old: Mapping[str, Any], patch: Mapping[str, Any], former: Rule | None
) -> Iterator[tuple[str, str]]:
    parts = list(every_part(schema, schema))
    known, free = names_of(parts), updateable_names(schema)
    if former is not None:
        free |= known - names_of(every_part(former, former))
    reachable = _reachable(schema, frozenset(patch), free)
    for name in sorted(patch):
        if name not in known:
            yield name, unknown_sentence(schema, name, sorted(known))
        elif name not in free:
            yield name, f"{name} was fixed when this was created and cannot be changed."
        elif name not in reachable:
            needed = sorted((conditions_of(schema, name) & free) - set(patch))
            yield (
                name,
                (f"{name} depends on {', '.join(needed)}. Send them together in one change."),
            )
        elif name in old:
            rules = [rule for rule in rules_of_name(parts, name) if isinstance(rule, Mapping)]
            yield from _fixed_inside(schema, rules, old[name], patch[name], name)


def _reachable(schema: Rule, given: frozenset[str], free: frozenset[str]) -> frozenset[str]:
    """Return the properties whose conditions can be judged from the patch alone."""
    names = set(_unconditional(schema))
    for block in conditional_blocks(schema):
        if "if" in block and condition_names(block["if"]) & free <= given:
            for word in ("then", "else"):
                if isinstance(block.get(word), Mapping):
                    names |= _reachable(block[word], given, free)
    return frozenset(names)


def _unconditional(schema: Rule) -> frozenset[str]:
    """Return what the parts name that stand under no condition."""
    bare = {word: rule for word, rule in schema.items() if word not in {"if", "then", "else"}}
    bare["allOf"] = [each for each in schema.get("allOf", ()) if "if" not in each]
    return names_of(every_part(schema, bare))


def _may_change(schema: Rule, rule: Any, depth: int = 0) -> bool:
    for part in every_part(schema, rule):
        if part.get("updateable") is True:
            return True
        inner = part.get("properties", {})
        if depth < _ROUNDS and any(_may_change(schema, each, depth + 1) for each in inner.values()):
            return True
    return False


def _fixed_inside(
    schema: Rule, rules: list[Rule], old: Any, new: Any, path: str
) -> Iterator[tuple[str, str]]:
    """Yield what differs in a group of which only a part may change."""
    parts = [part for rule in rules for part in every_part(schema, rule)]
    if old == new or any(part.get("updateable") is True for part in parts):
        return
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        yield path, f"{path} was fixed when this was created and cannot be changed."
        return
    for name in sorted({*old, *new}):
        inner = [rule for rule in rules_of_name(parts, name) if isinstance(rule, Mapping)]
        yield from _fixed_inside(schema, inner, old.get(name), new.get(name), f"{path}.{name}")


def _settled(
    schema: Rule, merged: dict[str, Any], patch: Mapping[str, Any], former: Rule | None
) -> dict[str, Any]:
    """Return the properties with defaults, without those whose condition holds no more."""
    declared = names_of(every_part(schema, schema))
    if former is not None:
        declared |= names_of(every_part(former, former))
    root = validator(schema)
    filled = with_defaults(schema, merged)
    for _ in range(_ROUNDS):
        present = names_of(list(applying_parts(root, schema, filled)))
        stale = (filled.keys() & declared) - present - patch.keys()
        if not stale:
            break
        filled = with_defaults(
            schema, {name: value for name, value in filled.items() if name not in stale}
        )
    return filled


_ROUNDS = 8


def _branches(schema: Rule) -> Iterator[Rule]:
    yield schema
    for block in conditional_blocks(schema):
        for name in ("then", "else"):
            if isinstance(block.get(name), Mapping):
                yield from _branches(block[name])
