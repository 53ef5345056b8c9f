"""How does the OpenAPI document describe templates, resources and operations?"""

from collections.abc import Mapping
from typing import Any

from carrel.core.documents import (
    ANY,
    COUNT,
    FLAG,
    NUMBER,
    OPEN,
    OPTIONAL_TEXT,
    OPTIONAL_TIME,
    OPTIONAL_UUID,
    TEXT,
    TIME,
    UUID,
    Schema,
    choice,
    listing,
    many,
    ref,
    thing,
)
from carrel.workspaces.rules import ResourceKind

_PERSON = thing({"id": TEXT, "name": TEXT, "email": TEXT, "roles": many(TEXT)})
_RESOURCE: Mapping[str, Schema] = {
    "id": UUID,
    "templateName": TEXT,
    "templateVersion": TEXT,
    "properties": OPEN,
    "availableUpgrades": many(thing({"version": TEXT, "forceUpdateRequired": FLAG})),
    "isEnabled": FLAG,
    "resourceType": choice(*ResourceKind),
    "deploymentStatus": OPTIONAL_TEXT,
    "_etag": TEXT,
    "resourcePath": TEXT,
    "resourceVersion": COUNT,
    "user": _PERSON,
    "updatedWhen": TIME,
}

SCHEMAS: Mapping[str, Schema] = {
    "Workspace": thing({**_RESOURCE, "workspaceURL": TEXT}),
    "WorkspaceService": thing({**_RESOURCE, "workspaceId": UUID}),
    "UserResource": thing(
        {
            **_RESOURCE,
            "workspaceId": UUID,
            "ownerId": OPTIONAL_TEXT,
            "parentWorkspaceServiceId": OPTIONAL_UUID,
            "azureStatus": OPEN,
        }
    ),
    "SharedService": thing(_RESOURCE),
    "Operation": thing(
        {
            "id": UUID,
            "resourceId": UUID,
            "resourcePath": TEXT,
            "resourceVersion": COUNT,
            "status": TEXT,
            "action": TEXT,
            "message": TEXT,
            "createdWhen": TIME,
            "updatedWhen": TIME,
            "user": _PERSON,
            "steps": many(ref("Step")),
            "canCancel": FLAG,
            "canRetry": FLAG,
            "progress": thing({"stepsDone": COUNT, "steps": COUNT}),
        }
    ),
    "Step": thing(
        {
            "id": TEXT,
            "templateStepId": TEXT,
            "stepTitle": TEXT,
            "resourceId": TEXT,
            "resourceTemplateName": TEXT,
            "resourceType": TEXT,
            "resourceAction": TEXT,
            "status": TEXT,
            "message": TEXT,
            "updatedWhen": TIME,
            "sourceTemplateResourceId": TEXT,
        }
    ),
    "Drift": thing(
        {
            "resourceId": TEXT,
            "workspaceId": OPTIONAL_UUID,
            "aspect": TEXT,
            "shouldBe": TEXT,
            "reallyIs": TEXT,
            "since": TIME,
            "lastSeen": TIME,
            "whatWasDone": TEXT,
        },
        description="A difference between what should be and what is.",
    ),
    "DeadLetter": thing(
        {
            "id": UUID,
            "kind": TEXT,
            "key": TEXT,
            "error": TEXT,
            "failures": COUNT,
            "createdWhen": TIME,
            "parkedWhen": TIME,
            "operationId": OPTIONAL_UUID,
        },
        description="Work that failed again and again, and was put aside.",
    ),
    "OperationAnswer": thing({"operation": ref("Operation")}),
    "PlanAnswer": thing(
        {
            "plan": thing(
                {
                    "action": TEXT,
                    "steps": many(thing({"stepTitle": TEXT, "resourceId": OPTIONAL_TEXT})),
                    "changes": many(thing({"property": TEXT, "from": ANY, "to": ANY})),
                    "warnings": many(TEXT),
                }
            )
        },
        description="What a change would do; `dry_run` changes nothing.",
    ),
    "HistoryEntry": thing(
        {
            "id": TEXT,
            "resourceId": UUID,
            "resourceVersion": COUNT,
            "properties": OPEN,
            "isEnabled": FLAG,
            "templateVersion": TEXT,
            "updatedWhen": TIME,
            "user": _PERSON,
        }
    ),
    "Usage": thing(
        {
            "cpu_seconds": NUMBER,
            "memory_bytes": COUNT,
            "memory_peak_bytes": COUNT,
            "disk_bytes": COUNT,
            "door_bytes": COUNT,
            "metered_seconds": NUMBER,
            "sampled_at": OPTIONAL_TIME,
        }
    ),
    "TemplateLine": thing(
        {"name": TEXT, "title": TEXT, "description": TEXT, "authorizedRoles": many(TEXT)}
    ),
    "Template": thing(
        {
            "id": TEXT,
            "name": TEXT,
            "title": TEXT,
            "description": TEXT,
            "version": TEXT,
            "resourceType": choice(*ResourceKind),
            "current": FLAG,
            "type": {"const": "object"},
            "required": many(TEXT),
            "authorizedRoles": many(TEXT),
            "properties": OPEN,
            "customActions": many(thing({"name": TEXT})),
            "uiSchema": OPEN,
            "unevaluatedProperties": {"const": False},
        },
        {"allOf": many(OPEN), "pipeline": OPEN, "parentWorkspaceService": TEXT},
        description="A template; its fields beside AzureTRE's are Carrel's own.",
    ),
    "TemplateVersion": thing(
        {
            "version": TEXT,
            "current": FLAG,
            "channel": choice("current", "testing"),
            "withdrawal": TEXT,
            "driver": TEXT,
            "missingDriver": TEXT,
        }
    ),
}

_ACCEPTED = ref("OperationAnswer")
_KINDS = {
    "workspace": ("workspace", "workspaces", "Workspace"),
    "workspace_service": ("workspaceService", "workspaceServices", "WorkspaceService"),
    "user_resource": ("userResource", "userResources", "UserResource"),
    "shared_service": ("sharedService", "sharedServices", "SharedService"),
}


def _of_kind(name: str, one: str, component: str) -> dict[str, Schema]:
    return {
        f"get_{name}": thing({one: ref(component)}),
        f"update_{name}": _ACCEPTED,
        f"delete_{name}": _ACCEPTED,
        f"invoke_{name}_action": _ACCEPTED,
        f"list_{name}_operations": listing("operations", ref("Operation")),
        f"get_{name}_operation": _ACCEPTED,
        f"cancel_{name}_operation": _ACCEPTED,
        f"retry_{name}_operation": _ACCEPTED,
        f"list_{name}_history": listing("resource_history", ref("HistoryEntry")),
        f"get_{name}_usage": thing({"usage": ref("Usage")}),
    }


OFFERS: Schema = {
    "type": ["array", "null"],
    "items": thing({"name": TEXT, "version": TEXT, "testing": FLAG}),
}
_LINES = listing("templates", ref("TemplateLine"))
ANSWERS: Mapping[str, Schema] = {
    "list_workspaces": listing("workspaces", ref("Workspace")),
    "list_services": listing("workspaceServices", ref("WorkspaceService")),
    "list_user_resources": listing("userResources", ref("UserResource")),
    "list_shared_services": listing("sharedServices", ref("SharedService")),
    "create_workspace": _ACCEPTED,
    "create_service": _ACCEPTED,
    "create_user_resource": _ACCEPTED,
    "create_shared_service": _ACCEPTED,
    "get_output": thing({"output": ANY}),
    "list_running_operations": listing("operations", ref("Operation")),
    "get_operation": _ACCEPTED,
    "cancel_operation": _ACCEPTED,
    "retry_operation": _ACCEPTED,
    "list_dead_letters": thing({"deadLetters": many(ref("DeadLetter"))}),
    "retry_dead_letter": thing({"deadLetter": ref("DeadLetter")}),
    "discard_dead_letter": thing({"deadLetter": ref("DeadLetter")}),
    "list_drift": thing({"drift": many(ref("Drift"))}),
    "list_workspace_templates": _LINES,
    "list_service_templates": _LINES,
    "list_user_resource_templates": _LINES,
    "list_shared_service_templates": _LINES,
    "list_usable_service_templates": _LINES,
    "list_usable_user_resource_templates": _LINES,
    "get_workspace_template": ref("Template"),
    "get_service_template": ref("Template"),
    "get_user_resource_template": ref("Template"),
    "get_shared_service_template": ref("Template"),
    "register_workspace_template": ref("Template"),
    "register_service_template": ref("Template"),
    "register_user_resource_template": ref("Template"),
    "register_shared_service_template": ref("Template"),
    "withdraw_template": ref("Template"),
    "promote_template": ref("Template"),
    "list_template_versions": thing({"versions": many(ref("TemplateVersion"))}),
    "get_workspace_catalogue": thing({"templates": OFFERS}),
    "set_workspace_catalogue": thing({"templates": OFFERS}),
    **{
        operation: schema
        for name, (one, _, component) in _KINDS.items()
        for operation, schema in _of_kind(name, one, component).items()
    },
}

_STREAMS = ("operation", "my_operations", *(f"{kind}_operation" for kind in _KINDS))
MEDIA: Mapping[str, tuple[str, ...]] = {
    f"follow_{name}": ("text/event-stream",) for name in _STREAMS
}

_PATCH = {"properties": {"description": "What the study is about."}, "isEnabled": True}
_TEMPLATE = {
    "name": "my-workspace",
    "version": "1.0.0",
    "current": True,
    "json_schema": {
        "title": "My workspace",
        "description": "A workspace with one more property.",
        "properties": {"cohort": {"type": "string", "title": "Cohort"}},
    },
}
EXAMPLES: Mapping[str, Any] = {
    "register_workspace_template": _TEMPLATE,
    "register_service_template": {**_TEMPLATE, "name": "my-service"},
    "register_user_resource_template": {**_TEMPLATE, "name": "my-lab"},
    "register_shared_service_template": {**_TEMPLATE, "name": "my-shared-service"},
    "withdraw_template": {"reason": "Its image has a known weakness."},
    "set_workspace_catalogue": {"templates": [{"name": "notebooks"}]},
    "create_workspace": {
        "templateName": "restricted",
        "properties": {"display_name": "Asthma in schools", "description": "A cohort study."},
    },
    "create_service": {
        "templateName": "notebooks",
        "properties": {"display_name": "Notebooks", "description": "JupyterLab for the study."},
    },
    "create_user_resource": {
        "templateName": "jupyterlab",
        "properties": {"display_name": "My lab", "description": "Python and R."},
    },
    "create_shared_service": {
        "templateName": "tre-shared-service-firewall",
        "properties": {"display_name": "Firewall", "description": "Rules of the TRE."},
    },
    **{f"update_{name}": _PATCH for name in _KINDS},
}
