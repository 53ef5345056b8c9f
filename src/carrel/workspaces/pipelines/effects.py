"""What does a pipeline's step make of properties, and how is exactly that undone? Pure."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from carrel.workspaces.pipelines.parsing import PipelineProperty, PipelineStep
from carrel.workspaces.pipelines.substitution import substitute

SET = "set"


@dataclass(frozen=True, slots=True)
class Effect:
    """What one setting of a step did to one property."""

    name: str
    action: str
    """`set`, or of an array's entry: `append`, `replace` or `remove`."""
    after: Any
    """The whole property afterwards."""
    match_field: str = ""
    entry: Any = None
    """The entry that was put in."""
    old: Any = None
    """What was there before: the property, or the entry that was replaced or removed."""
    had_old: bool = False
    place: int = 0


def changed_by(
    step: PipelineStep,
    current: Mapping[str, Any],
    resource: Mapping[str, Any],
    parents: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the patch that a step means for the resource whose properties are `current`."""
    return {each.name: each.after for each in effects(step, current, resource, parents)}


def effects(
    step: PipelineStep,
    current: Mapping[str, Any],
    resource: Mapping[str, Any],
    parents: Sequence[Mapping[str, Any]],
) -> list[Effect]:
    """Return what each setting of a step does to the properties `current`, which stay as they are.

    Two settings of one property build on each other. `resource` and `parents` are what the
    step's references are about (`substitution.view`).
    """
    now, found = dict(current), []
    for rule in step.properties:
        effect = _effect(rule, now, substitute(rule.value, resource, parents))
        now[rule.name] = effect.after
        found.append(effect)
    return found


def _effect(rule: PipelineProperty, now: Mapping[str, Any], value: Any) -> Effect:
    before = now.get(rule.name)
    is_entry = rule.type == "array" and bool(rule.array_action) and not isinstance(value, list)
    if is_entry and rule.array_action != "overwrite":
        entries = list(deepcopy(before)) if isinstance(before, list) else []
        return _entry_effect(rule, entries, value)
    after = [value] if is_entry else value
    return Effect(rule.name, SET, after, old=before, had_old=rule.name in now)


def _entry_effect(rule: PipelineProperty, entries: list[Any], entry: Any) -> Effect:
    match = rule.match_field
    place = place_of(entries, entry, match) if rule.array_action != "append" else None
    if rule.array_action == "remove":
        if place is None:
            return Effect(rule.name, "remove", entries, match)
        old = entries.pop(place)
        return Effect(rule.name, "remove", entries, match, old=old, had_old=True, place=place)
    if place is None:
        entries.append(entry)
        return Effect(rule.name, "append", entries, match, entry, place=len(entries) - 1)
    old, entries[place] = entries[place], entry
    return Effect(rule.name, "replace", entries, match, entry, old, had_old=True, place=place)


def place_of(entries: Sequence[Any], entry: Any, match_field: str) -> int | None:
    """Return where the entry is that is the same by `match_field` (else by all), or None."""
    wanted = _mark(entry, match_field)
    for place, each in enumerate(entries):
        if _mark(each, match_field) == wanted:
            return place
    return None


def _mark(entry: Any, match_field: str) -> Any:
    if match_field and isinstance(entry, Mapping) and match_field in entry:
        return (match_field, entry[match_field])
    return entry


def as_saved(found: Sequence[Effect], saved: Mapping[str, Any]) -> list[Effect]:
    """Return the effects with what really lies there: saving may have filled in defaults."""
    ends = {each.name: each.after for each in found}
    return [_as_saved(each, ends[each.name], saved.get(each.name)) for each in found]


def _as_saved(effect: Effect, end: Any, saved: Any) -> Effect:
    if effect.action == SET:
        return replace(effect, after=saved)
    is_same_length = isinstance(saved, list) and len(saved) == len(end)
    if not is_same_length or effect.entry not in end:
        return effect
    return replace(effect, entry=saved[end.index(effect.entry)])


# The way back ---------------------------------------------------------------------------------


def undone(found: Sequence[Effect], current: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the properties without the effects, and the names of those that must stay.

    What somebody changed in the meantime is left as it is.
    """
    now: dict[str, Any] = deepcopy(dict(current))
    left = [each.name for each in reversed(found) if not _undo(each, now)]
    return now, sorted(set(left))


def _undo(effect: Effect, now: dict[str, Any]) -> bool:
    if effect.action == SET:
        return _unset(effect, now)
    entries = now.get(effect.name)
    if not isinstance(entries, list):
        return effect.action == "append" or not effect.had_old
    return _ENTRY_UNDO[effect.action](effect, entries)


def _unset(effect: Effect, now: dict[str, Any]) -> bool:
    if effect.name not in now:
        return not effect.had_old
    if now[effect.name] != effect.after:
        return effect.had_old and bool(now[effect.name] == effect.old)
    if effect.had_old:
        now[effect.name] = effect.old
    else:
        del now[effect.name]
    return True


def _unappend(effect: Effect, entries: list[Any]) -> bool:
    for place in _places(entries, effect.entry):
        del entries[place]
        return True
    return not effect.match_field or place_of(entries, effect.entry, effect.match_field) is None


def _unreplace(effect: Effect, entries: list[Any]) -> bool:
    for place in _places(entries, effect.entry):
        entries[place] = effect.old
        return True
    return effect.old in entries


def _unremove(effect: Effect, entries: list[Any]) -> bool:
    if not effect.had_old:
        return True
    if (place := place_of(entries, effect.old, effect.match_field)) is not None:
        return bool(entries[place] == effect.old)
    entries.insert(effect.place, effect.old)
    return True


_ENTRY_UNDO = {"append": _unappend, "replace": _unreplace, "remove": _unremove}


def _places(entries: Sequence[Any], entry: Any) -> Iterator[int]:
    """Yield where an entry lies, the last place first: others are appended behind the first."""
    return (place for place in reversed(range(len(entries))) if entries[place] == entry)
