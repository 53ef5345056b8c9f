"""Which JSON do templates have, and what does a registration look like? AzureTRE's."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from carrel.core.paging import Position, Wanted, listed, slice_of
from carrel.workspaces.bundles import Registration
from carrel.workspaces.routes.shapes import Json, template_line_json
from carrel.workspaces.rules import Offer, ResourceKind, Template, TemplateAction
from carrel.workspaces.rules.listing import TemplateOrder
from carrel.workspaces.schemas import for_update

_IDS = uuid.UUID("8f5d0f0a-8d0c-4f0c-9d5e-2f1f7d6a1c11")
"""A template's id is made from its names: it needs no place of its own."""
_ELSEWHERE = frozenset({"$schema", "title", "description", "authorizedRoles", "actions"})
_VALUES = frozenset({"enum", "const", "examples", "value"})
_SHOWN_REQUIRED = ("display_name", "description")
"""AzureTRE's clients find both required; Carrel fills in the second where it is missing."""


def lines_answer(part: Wanted[TemplateOrder], templates: Sequence[Template]) -> Response:
    """Return the answer of a list of templates: the wanted part of them."""
    by_title = part.order is TemplateOrder.TITLE

    def position(each: Template) -> Position:
        return each.title if by_title else each.name, f"{each.parent}:{each.name}"

    return listed(part, "templates", slice_of(templates, part, position).map(template_line_json))


def template_json(template: Template, *, is_update: bool = False) -> Json:
    """Return a template with its schema; with `is_update`, fixed properties are `readOnly`."""
    schema = for_update(template.schema) if is_update else template.schema
    own = {word: rule for word, rule in schema.items() if word not in _ELSEWHERE}
    place = "shared_service_id" if template.kind is ResourceKind.SHARED_SERVICE else "workspace_id"
    shown: Json = {
        **own,
        "id": template_id(template),
        "name": template.name,
        "title": template.title,
        "description": template.description,
        "version": template.version,
        "resourceType": template.kind,
        "current": template.is_current,
        "type": "object",
        "required": list(dict.fromkeys([*_SHOWN_REQUIRED, *schema.get("required", ())])),
        "authorizedRoles": list(template.authorized_roles),
        "actions": [],
        "customActions": [asdict(action) for action in template.actions],
        "uiSchema": schema.get("uiSchema", {}),
        "unevaluatedProperties": False,
        "system_properties": {
            name: {"type": "string"} for name in ("tre_id", place, "azure_location")
        },
        "parentWorkspaceService": template.parent,
        **_own_fields(template),
    }
    return {name: _without_nulls(value) for name, value in shown.items() if value is not None}


def _own_fields(template: Template) -> Json:
    """Return what AzureTRE has not."""
    return {
        "overview": template.overview,
        "isolation": sorted(template.isolation),
        "level": template.level,
        "origin": template.origin,
        "driver": template.driver,
        "missingDriver": template.missing_driver or None,
        "effects": dict(template.effects),
        "parameters": list(template.parameters),
        "outputs": list(template.outputs),
        "channel": template.channel,
        "withdrawal": template.withdrawal or None,
    }


def template_id(template: Template) -> str:
    """Return the id of one version of a template, the same in every TRE."""
    names = (template.kind, template.parent or "", template.name, template.version)
    return str(uuid.uuid5(_IDS, ":".join(names)))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: each if name in _VALUES else _without_nulls(each)
            for name, each in value.items()
            if each is not None
        }
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def version_line_json(template: Template) -> Json:
    """Return a version of a template as the list of them shows it (Carrel's own)."""
    return {
        "version": template.version,
        "current": template.is_current,
        "channel": template.channel,
        "withdrawal": template.withdrawal,
        "driver": template.driver,
        "missingDriver": template.missing_driver,
    }


def offer_json(offer: Offer) -> Json:
    """Return an entry of a workspace's catalogue (Carrel's own)."""
    return {"name": offer.name, "version": offer.version, "testing": offer.is_testing}


# What programs send -----------------------------------------------------------------------------


class _Lenient(BaseModel):
    """The tools of AzureTRE post all that `porter explain` says; what is not known is left."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class NamedPart(_Lenient):
    """A custom action, parameter or output."""

    name: str = Field(max_length=200)
    description: str | None = Field(None, max_length=5000)


class TemplateBody(_Lenient):
    """A registration: `porter explain` with the schema."""

    name: str = Field(max_length=64)
    version: str = Field(max_length=32)
    description: str | None = Field(None, max_length=10_000)
    current: bool = False
    channel: Literal["current", "testing"] = "current"
    json_schema: dict[str, Any]
    custom_actions: Annotated[list[NamedPart] | None, Field(alias="customActions")] = None
    parameters: list[NamedPart] | None = None
    outputs: list[NamedPart] | None = None

    def registration(self) -> Registration:
        """Return it as the room of workspaces takes it."""
        return Registration(
            name=self.name,
            version=self.version,
            description=self.description or "",
            json_schema=self.json_schema,
            custom_actions=[
                TemplateAction(each.name, each.description or "")
                for each in self.custom_actions or ()
            ],
            parameters=[each.name for each in self.parameters or ()],
            outputs=[each.name for each in self.outputs or ()],
        )


class WithdrawalBody(BaseModel):
    """Why a version is withdrawn."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500)


class OfferBody(BaseModel):
    """One service template that a workspace may use."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64)
    version: str = Field("", max_length=32)
    testing: bool = False


class OffersBody(BaseModel):
    """Every service template that a workspace may use; null for all of them."""

    model_config = ConfigDict(extra="forbid")

    templates: list[OfferBody] | None = Field(max_length=200)

    def offers(self) -> list[Offer] | None:
        """Return them as the room of workspaces takes them."""
        if self.templates is None:
            return None
        return [Offer(each.name, each.version, each.testing) for each in self.templates]
