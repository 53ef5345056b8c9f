"""What can a template ask of the host, and allow its members? The settings that say so."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from carrel.runtime.ports import Level
from carrel.runtime.rules import EVERY_WORD
from carrel.workspaces.rules import Policy, ResourceKind, RuntimeNeeds

LIMIT_NAMES = frozenset({"memory_gib", "cpus", "disk_gib", "processes"})
Where = tuple[str | int, ...]


class Strict(BaseModel):
    """Settings of which none may be unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RuntimeSettings(Strict):
    """What a driver needs to know; see `rules.RuntimeNeeds`."""

    driver: Literal["local"] = "local"
    image: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,63}$")
    command: list[str] = []
    prefix_style: Literal["keep", "strip"] = "keep"
    start_seconds: int = Field(60, ge=1, le=3600)
    operation_minutes: float | None = Field(None, gt=0, le=1440)
    limits: dict[str, str] = {}

    def needs(self) -> RuntimeNeeds:
        """Return them as the rooms know them."""
        return RuntimeNeeds(**self.model_dump())


class PolicySettings(Strict):
    """What members may do; see `rules.Policy`."""

    network: Literal["none", "egress-proxy"] = "none"
    package_gateway: bool = True
    downloads: bool = False
    clipboard: bool = False
    airlock: bool = True
    may_hold_sensitive: bool = False

    def policy(self) -> Policy:
        """Return it as the rooms know it."""
        return Policy(**self.model_dump())


class HostSettings(Strict):
    """What a template needs of the host, and what it allows there."""

    level: Level = Level.A
    isolation: list[str] = []
    runtime: RuntimeSettings | None = None
    policy: PolicySettings = PolicySettings()

    def unfit(
        self, kind: ResourceKind, properties: Mapping[str, Any] | None
    ) -> Iterator[tuple[Where, str]]:
        """Yield `(path, sentence)` for what cannot be meant so; `properties` None: unknown."""
        runtime, policy = self.runtime, self.policy
        if kind is ResourceKind.USER_RESOURCE and not (
            runtime and runtime.image and runtime.command
        ):
            yield ("runtime",), "a user resource needs an image and a command."
        if policy.may_hold_sensitive and (self.level is not Level.A or policy.network != "none"):
            yield ("policy", "may_hold_sensitive"), "needs level A and network none."
        for word in self.isolation:
            if word not in EVERY_WORD:
                yield ("isolation",), f"{word!r} is no word that a driver can enforce."
        for limit, name in (runtime.limits if runtime else {}).items():
            if limit not in LIMIT_NAMES:
                yield ("runtime", "limits"), f"{limit!r} is no limit."
            if properties is not None and name not in properties:
                yield ("runtime", "limits"), f"the schema has no property {name!r}."
