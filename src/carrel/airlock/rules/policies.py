"""What can a workspace decide about its airlock, and within which bounds?"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from carrel.airlock.rules.requests import AirlockPolicy
from carrel.core.errors import InvalidRequest

_SUFFIX = re.compile(r"\.[a-z0-9]{1,10}")
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "reviewers": (1, 2),
    "service_hours": (0, 24 * 90),
    "threshold": (1, 1000),
    "rounding_base": (1, 1000),
    "export_file_bytes": (1024, 2**30),
    "export_rows": (1, 10_000_000),
}
TYPES_LIMIT = 50


@dataclass(frozen=True, slots=True)
class PolicyChoices:
    """What an administrator decides for one workspace; the rest is the TRE's."""

    reviewers: int = 1
    blinded: bool = False
    members_may_review: bool = False
    context_required: bool = False
    service_hours: int = 0
    threshold: int = 10
    zeros_checked: bool = True
    rounding_base: int = 5
    export_file_bytes: int = 16 * 2**20
    export_rows: int = 5000
    export_types: tuple[str, ...] = AirlockPolicy().export_types

    @classmethod
    def of(cls, policy: AirlockPolicy) -> "PolicyChoices":
        """Return what of a policy a workspace can decide."""
        return cls(**{each.name: getattr(policy, each.name) for each in fields(cls)})

    @classmethod
    def kept(cls, kept: Mapping[str, Any]) -> "PolicyChoices":
        """Return choices that were written down as JSON."""
        return cls(**{**kept, "export_types": tuple(kept["export_types"])})

    def applied(self, policy: AirlockPolicy) -> AirlockPolicy:
        """Return the TRE's policy with these choices in it."""
        return replace(policy, **asdict(self))

    def check(self) -> None:
        """Raise `InvalidRequest` unless every choice is within its bounds."""
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise InvalidRequest(f"{name} must be between {least} and {most}.", field=name)
        if self.blinded and self.reviewers < 2:
            raise InvalidRequest(
                "A blinded review needs two reviewers: set reviewers to 2.", field="blinded"
            )
        types = self.export_types
        if not 1 <= len(types) <= TYPES_LIMIT or not all(map(_SUFFIX.fullmatch, types)):
            raise InvalidRequest(
                "export_types must be file name endings such as .csv, in lower case.",
                field="export_types",
            )
