"""What may programs send to the airlock?"""

from pydantic import BaseModel, ConfigDict, Field

from carrel.airlock.rules import Direction
from carrel.airlock.service.drafting import NO_JUSTIFICATION


class Body(BaseModel):
    """A body that may hold nothing else."""

    model_config = ConfigDict(extra="forbid")


class NewRequest(BaseModel):
    """A draft; AzureTRE's shape, whose other fields are ignored.

    Without a justification it is a draft all the same, and cannot be submitted.
    """

    type: Direction
    title: str = "Airlock Request"
    businessJustification: str = NO_JUSTIFICATION  # noqa: N815 AzureTRE's word


class AmendBody(Body):
    """A draft's title and justification, written anew."""

    title: str
    businessJustification: str  # noqa: N815 AzureTRE's word


class CollectBody(Body):
    """Which files of the outbox to take."""

    paths: list[str] = Field(min_length=1, max_length=10_000)


class SessionBody(Body):
    """In which folder of the draft the session lies; empty for its top."""

    folder: str = Field("", max_length=1000)


class ContextBody(Body):
    """What the author declares about a file."""

    columns: dict[str, str] = {}
    text: str = ""
    model: dict[str, float] | None = None
    """The risk report of a model: records, parameters, membership_advantage."""


class ReviewBody(BaseModel):
    """A decision; AzureTRE's shape and the manifest that was seen.

    Without the manifest the decision is about the seal in force when it arrives.
    """

    approval: bool
    decisionExplanation: str  # noqa: N815 AzureTRE's word
    manifestSha256: str | None = None  # noqa: N815 in AzureTRE's style


class ReturnBody(Body):
    """What the author should change."""

    explanation: str


class RevokeBody(BaseModel):
    """Why an approval is withdrawn; AzureTRE's shape."""

    reason: str
