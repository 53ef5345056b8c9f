"""How are secret values taken out of properties, and put back? Pure; nothing here is encrypted.

A place in the properties is named by a JSON pointer (RFC 6901), for instance `/review/key` or
`/users/0/password`.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "REDACTED"
"""What stands in the place of a secret value. AzureTRE's word: clients send it back unchanged."""

_GONE = object()


def outermost(pointers: Iterable[str]) -> frozenset[str]:
    """Return the pointers without those that lie below another one of them."""
    found = set(pointers)
    return frozenset(each for each in found if not any(above in found for above in _above(each)))


def picked(properties: Mapping[str, Any], pointers: Iterable[str]) -> dict[str, Any]:
    """Return the values at the pointers, by pointer; those that point nowhere are left out."""
    values = {pointer: _at(properties, _parts(pointer)) for pointer in outermost(pointers)}
    return {pointer: value for pointer, value in values.items() if value is not _GONE}


def masked(properties: Mapping[str, Any], pointers: Iterable[str]) -> dict[str, Any]:
    """Return a copy of the properties with `MASK` at every pointer."""
    return unmasked(properties, dict.fromkeys(picked(properties, pointers), MASK))


def unmasked(properties: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the properties with each value at its pointer.

    A pointer whose place is not there any more is passed over.
    """
    shown: dict[str, Any] = copy.deepcopy(dict(properties))
    for pointer, value in values.items():
        *way, last = _parts(pointer)
        place = _at(shown, way)
        if isinstance(place, dict) and last in place:
            place[last] = value
        elif isinstance(place, list) and _at(place, [last]) is not _GONE:
            place[int(last)] = value
    return shown


def kept(sent: Any, shown: Any, full: Any) -> Any:
    """Return what was sent, with the old secret wherever its mask came back.

    `shown` and `full` are the old value without and with its secrets. An entry of a list is known
    again by everything else in it, so that a secret does not slip into another entry.
    """
    if shown == full:
        return sent
    if shown == MASK:
        return full if sent == MASK else sent
    if isinstance(sent, Mapping) and isinstance(shown, Mapping):
        return {
            name: kept(value, shown[name], full[name]) if name in shown else value
            for name, value in sent.items()
        }
    if isinstance(sent, list) and isinstance(shown, list):
        return [_kept_entry(number, each, sent, shown, full) for number, each in enumerate(sent)]
    return sent


def _kept_entry(number: int, entry: Any, sent: list[Any], shown: list[Any], full: list[Any]) -> Any:
    if number < len(shown) and entry == shown[number]:
        return full[number]
    if entry in shown:
        return full[shown.index(entry)]
    return kept(entry, shown[number], full[number]) if len(sent) == len(shown) else entry


def still_masked(properties: Mapping[str, Any], pointers: Iterable[str]) -> list[str]:
    """Return the pointers where the mask stands although a secret should, sorted."""
    return sorted(place for place, value in picked(properties, pointers).items() if value == MASK)


def holding(value: Any, secrets: Iterable[str], pointer: str = "") -> Iterator[str]:
    """Yield the pointers of the texts that hold one of the secrets."""
    known = [each for each in secrets if each]
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from holding(each, known, f"{pointer}/{_escaped(str(name))}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from holding(each, known, f"{pointer}/{number}")
    elif isinstance(value, str) and any(each in value for each in known):
        yield pointer


def dotted(pointer: str) -> str:
    """Return a pointer as people read fields: `users.0.password`."""
    return ".".join(_parts(pointer))


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _above(pointer: str) -> Iterator[str]:
    while pointer := pointer.rpartition("/")[0]:
        yield pointer


def _at(value: Any, way: list[str]) -> Any:
    for part in way:
        if isinstance(value, Mapping):
            value = value.get(part, _GONE)
        elif isinstance(value, list):
            value = value[int(part)] if part.isdigit() and int(part) < len(value) else _GONE
        else:
            return _GONE
    return value
