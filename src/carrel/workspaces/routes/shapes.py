"""Which JSON do templates, resources and operations have? AzureTRE's; the words live here only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import Response

from carrel.core.queue import DeadLetter
from carrel.workspaces.meters import UsageTotals
from carrel.workspaces.rules import (
    HistoryEntry,
    Operation,
    Person,
    Power,
    Resource,
    ResourceKind,
    Step,
    Template,
)
from carrel.workspaces.rules.drift import Drift

K = ResourceKind
Json = dict[str, Any]

ONE = {
    K.WORKSPACE: "workspace",
    K.SERVICE: "workspaceService",
    K.USER_RESOURCE: "userResource",
    K.SHARED_SERVICE: "sharedService",
}
MANY = {kind: f"{name}s" for kind, name in ONE.items()}
POWER_STATES = {
    Power.RUNNING: "VM running",
    Power.STOPPED: "VM stopped",
    Power.FAILED: "VM stopped",
}
PUBLIC_PROPERTIES = frozenset(
    {"display_name", "description", "overview", "connection_uri", "is_exposed_externally"}
)
"""What everybody may read of a shared service."""


def answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer, written without a detour over models."""
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/json")


def accepted(operation: Operation, *, status: int = 202) -> Response:
    """Return the answer to a change: the operation, and where to follow it."""
    location = f"/api{operation.resource_path}/operations/{operation.id}"
    body = {"operation": operation_json(operation)}
    return answer(body, status=status, headers={"Location": location})


def person_json(person: Person) -> Json:
    """Return who made a change; AzureTRE's clients look for the empty fields too."""
    return {"id": person.id, "name": person.name, "email": "", "roles": [], "roleAssignments": []}


def resource_json(
    resource: Resource, upgrades: Sequence[tuple[str, bool]], *, is_public_view: bool = False
) -> Json:
    """Return a resource of any kind."""
    properties = dict(resource.properties)
    if is_public_view:
        properties = {name: properties[name] for name in properties if name in PUBLIC_PROPERTIES}
    shown: Json = {
        "id": resource.id,
        "templateName": resource.template_name,
        "templateVersion": resource.template_version,
        "properties": properties,
        "availableUpgrades": [
            {"version": version, "forceUpdateRequired": needs_force}
            for version, needs_force in upgrades
        ],
        "isEnabled": resource.is_enabled,
        "resourceType": resource.kind,
        "deploymentStatus": resource.status or None,
        "_etag": resource.etag,
        "resourcePath": resource.path,
        "resourceVersion": resource.version,
        "user": person_json(resource.updated_by),
        "updatedWhen": resource.updated_at.timestamp(),
    }
    return shown | _KIND_FIELDS[resource.kind](resource)


_KIND_FIELDS: Mapping[ResourceKind, Callable[[Resource], Json]] = {
    K.WORKSPACE: lambda _: {"workspaceURL": ""},
    K.SERVICE: lambda each: {"workspaceId": each.workspace_id},
    K.USER_RESOURCE: lambda each: {
        "workspaceId": each.workspace_id,
        "ownerId": each.owner_id,
        "parentWorkspaceServiceId": each.parent_id,
        "azureStatus": {"powerState": POWER_STATES[each.power]} if each.power else {},
    },
    K.SHARED_SERVICE: lambda _: {},
}


def operation_json(operation: Operation) -> Json:
    """Return an operation with its steps; the last three fields are Carrel's own."""
    return {
        "id": operation.id,
        "resourceId": operation.resource_id,
        "resourcePath": operation.resource_path,
        "resourceVersion": operation.resource_version,
        "status": operation.status,
        "action": operation.action,
        "message": operation.message,
        "createdWhen": operation.created_at.timestamp(),
        "updatedWhen": operation.updated_at.timestamp(),
        "user": person_json(operation.user),
        "steps": [_step_json(operation, step) for step in operation.steps],
        "canCancel": operation.can_cancel,
        "canRetry": operation.can_retry,
        "progress": {"stepsDone": operation.steps_done, "steps": len(operation.steps)},
    }


def _step_json(operation: Operation, step: Step) -> Json:
    return {
        "id": step.id,
        "templateStepId": step.template_step_id,
        "stepTitle": step.title,
        "resourceId": step.resource_id,
        "resourceTemplateName": step.template_name,
        "resourceType": step.resource_kind,
        "resourceAction": step.action or operation.action,
        "status": step.status,
        "message": step.message,
        "updatedWhen": step.updated_at.timestamp(),
        "sourceTemplateResourceId": (step.pipeline or {}).get("source", step.resource_id),
    }


def drift_json(drift: Drift) -> Json:
    """Return one difference between what should be and what is (Carrel's own)."""
    return {
        "resourceId": drift.resource_id,
        "workspaceId": drift.workspace_id,
        "aspect": drift.aspect,
        "shouldBe": drift.should_be,
        "reallyIs": drift.really_is,
        "since": drift.since.timestamp(),
        "lastSeen": drift.last_seen.timestamp(),
        "whatWasDone": drift.what_was_done,
    }


def dead_letter_json(letter: DeadLetter) -> Json:
    """Return work that was put aside (Carrel's own)."""
    return {
        "id": letter.id,
        "kind": letter.kind,
        "key": letter.key,
        "error": letter.error,
        "failures": letter.failures,
        "createdWhen": letter.created_at.timestamp(),
        "parkedWhen": letter.parked_at.timestamp(),
        "operationId": letter.payload.get("operation"),
    }


def history_json(entry: HistoryEntry) -> Json:
    """Return the state of a resource before a change."""
    return {
        "id": f"{entry.resource_id}:{entry.version}",
        "resourceId": entry.resource_id,
        "resourceVersion": entry.version,
        "properties": entry.properties,
        "isEnabled": entry.is_enabled,
        "templateVersion": entry.template_version,
        "updatedWhen": entry.updated_at.timestamp(),
        "user": person_json(entry.updated_by),
    }


def usage_json(totals: UsageTotals) -> Json:
    """Return what a resource has used (Carrel's own)."""
    sampled_at = totals.sampled_at.timestamp() if totals.sampled_at else None
    return {**asdict(totals), "sampled_at": sampled_at}


def template_line_json(template: Template) -> Json:
    """Return a template as a list shows it."""
    return {
        "name": template.name,
        "title": template.title,
        "description": template.description,
        "authorizedRoles": list(template.authorized_roles),
    }
