"""Which templates with pipelines do tests use? A shared firewall, and services that change it."""

from collections.abc import Mapping, Sequence
from typing import Any

from carrel.runtime.ports import Level
from carrel.workspaces.rules import (
    Policy,
    Resource,
    ResourceKind,
    Template,
    TemplateAction,
)
from carrel.workspaces.schemas import merge_defaults
from tests.workspaces import House

K = ResourceKind
Json = Mapping[str, Any]

RULE: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "ports": {"type": "array", "items": {"type": "integer"}},
        "direction": {"type": "string", "default": "out"},
    },
}
FIREWALL: Json = {
    "properties": {
        "rules": {"type": "array", "items": RULE, "default": [], "updateable": True},
        "mode": {"type": "string", "default": "closed", "updateable": True},
        "site": {"type": "string", "default": "here"},
        "password": {"type": "string", "sensitive": True, "updateable": True},
    }
}


def firewall_step(step_id: str, action: str, value: Any = None, **more: Any) -> dict[str, Any]:
    """Return a step that changes the rules of the firewall."""
    name = {"name": "arc-{{ resource.id }}", "ports": ["{{ resource.properties.port }}"]}
    return {
        "stepId": step_id,
        "stepTitle": f"Firewall: {action}",
        "resourceTemplateName": "firewall",
        "resourceType": "shared-service",
        "resourceAction": "upgrade",
        "properties": [
            {
                "name": "rules",
                "type": "array",
                "arraySubstitutionAction": action,
                "arrayMatchField": "name",
                "value": value or name,
            },
            *more.get("properties", ()),
        ],
    }


MAIN: Json = {"stepId": "main"}
PIPELINE: Json = {
    "install": [firewall_step("add", "append"), MAIN],
    "upgrade": [MAIN, firewall_step("change", "replace")],
    "uninstall": [MAIN, firewall_step("drop", "remove")],
    "renew": [
        {
            "stepId": "main",
            "properties": [{"name": "renewed", "value": "by {{ resource.id }}"}],
        },
        firewall_step("touch", "replace"),
    ],
}
OPENED: Json = {
    "properties": {
        "port": {"type": "integer", "default": 443, "updateable": True},
        "key": {"type": "string", "sensitive": True, "updateable": True},
        "renewed": {"type": "string", "updateable": True},
        "learned": {"type": "string"},
    }
}


def register(
    house: House,
    kind: ResourceKind,
    name: str,
    schema: Json,
    *,
    pipeline: Json | None = None,
    actions: Sequence[str] = (),
    parent: str | None = None,
    driver: str = "record",
) -> None:
    """Put a template into the catalogue, as a registered bundle would."""
    whole = merge_defaults(kind, schema)
    template = Template(
        kind=kind,
        name=name,
        version="1.0.0",
        parent=parent,
        title=name,
        description=name,
        overview="",
        schema={**whole, **({"pipeline": pipeline} if pipeline else {})},
        level=Level.C,
        isolation=frozenset(),
        runtime=None,
        policy=Policy(),
        actions=[TemplateAction(each, each) for each in actions],
        driver=driver,
    )
    with house.database.write() as connection:
        house.workspaces.catalogue.add(connection, template, now=house.clock.now())


def make_firewall(house: House, **properties: Any) -> Resource:
    """Return the deployed shared service that pipelines change."""
    made, _ = house.workspaces.create_shared_service(
        house.admin, "firewall", {"display_name": "Firewall", **properties}
    )
    house.work()
    return house.again(made)


def prepare(house: House) -> Resource:
    """Register the templates, and return the firewall."""
    register(house, K.SHARED_SERVICE, "firewall", FIREWALL, actions=["flush"])
    register(house, K.SERVICE, "opened", OPENED, pipeline=PIPELINE, actions=["renew", "note"])
    return make_firewall(house)


def open_service(house: House, workspace: Resource, **properties: Any) -> Resource:
    """Ask for a service with a pipeline; the worker's turn is the caller's to give."""
    made, _ = house.workspaces.create_service(
        house.admin, workspace.id, "opened", {"display_name": "Opened", **properties}
    )
    return made


def rule_names(house: House, firewall: Resource) -> list[str]:
    """Return the names of the firewall's rules, in order."""
    return [each["name"] for each in house.again(firewall).properties["rules"]]
