"""How do secret properties stay out of everything that people, logs and records can read?

In `resources.properties` stands the mask; the value lies sealed in a table of its own, one row
for each place. Everything that reads a resource therefore sees the mask; `Room.reveal` alone
puts the values back.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from carrel.workspaces.masking import MASK, dotted, holding, outermost, picked, still_masked
from carrel.workspaces.schemas import InvalidProperties, sensitive_pointers


def secret_pointers(
    schema: Mapping[str, Any],
    properties: Mapping[str, Any],
    *,
    before: Mapping[str, Any] | None = None,
    tainted: Iterable[str] = (),
) -> frozenset[str]:
    """Return where in the (full) properties a secret stands.

    That is what the schema calls sensitive; what was secret `before` (values by pointer) and is
    still the same, although a newer schema may not call it so; and every text that holds one of
    the `tainted` ones, which came out of another resource's secrets.
    """
    found = set(sensitive_pointers(schema, properties))
    sealed = before or {}
    found |= {
        place for place, value in picked(properties, sealed).items() if value == sealed[place]
    }
    found |= set(holding(properties, tainted))
    return outermost(found)


def check_no_mask(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Raise `InvalidProperties` where the mask was sent and no secret is known to stay."""
    places = still_masked(properties, sensitive_pointers(schema, properties))
    why = f"is {MASK}, which stands for a secret that is kept; here none is. Give the secret."
    if places:
        raise InvalidProperties([(dotted(each), f"{dotted(each)} {why}") for each in places])


def changed_secret_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """Return the top-level properties of which a secret differs; both are values by pointer."""
    places = {
        place for place in {*before, *after} if before.get(place, MASK) != after.get(place, MASK)
    }
    return frozenset(dotted(place).partition(".")[0] for place in places)
