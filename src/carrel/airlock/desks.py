"""How does the airlock make and remove review resources with the room of workspaces?"""

from collections.abc import Mapping
from typing import Any

from carrel.airlock.rules import AirlockRequest, Direction, ReviewResource
from carrel.core.actors import Actor, system
from carrel.core.errors import CarrelError, InvalidRequest, NotFound
from carrel.workspaces.rules import Operation, Power, ResourceKind
from carrel.workspaces.service import Workspaces

_CONFIG = "airlock_review_config"
_AIRLOCK = system("airlock")


class WorkspaceDesks:
    """Review resources as ordinary user resources, made with the reviewer's own rights."""

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    def open(
        self, reviewer: Actor, request: AirlockRequest, link: str
    ) -> tuple[ReviewResource, Operation]:
        """Begin to make a user resource from the configured template."""
        workspace_id, service_id, template = self._place(request)
        properties = {
            "display_name": "Airlock Review VM",
            "description": f"To review the airlock request {request.id}",
        }
        try:
            found = self._workspaces.get_template(_AIRLOCK, ResourceKind.USER_RESOURCE, template)
            if "airlock_request_sas_url" in found.schema["properties"]:
                properties["airlock_request_sas_url"] = link
            made, operation = self._workspaces.create_user_resource(
                reviewer, workspace_id, service_id, template, properties
            )
        except CarrelError as error:
            if error.status >= 500:
                raise
            raise _wrong(f"the review resource could not be made: {error}") from error
        place = ReviewResource(reviewer.id, workspace_id, service_id, made.id)
        return place, operation

    def is_healthy(self, resource: ReviewResource) -> bool:
        """Whether the user resource is enabled, deployed and running."""
        try:
            found = self._workspaces.get_resource(_AIRLOCK, resource.user_resource_id)
        except NotFound:
            return False
        return found.is_enabled and found.is_deployed and found.power is Power.RUNNING

    def remove(self, resource: ReviewResource) -> None:
        """Disable and delete the user resource; nothing happens if it is gone."""
        try:
            found = self._workspaces.get_resource(_AIRLOCK, resource.user_resource_id)
            if found.is_enabled:
                self._workspaces.update(_AIRLOCK, found.id, etag=found.etag, is_enabled=False)
            self._workspaces.delete(_AIRLOCK, found.id)
        except NotFound:
            return

    def _place(self, request: AirlockRequest) -> tuple[str, str, str]:
        """Return workspace, service and template of review resources, as configured."""
        here = self._workspaces.get_resource(_AIRLOCK, request.workspace_id)
        config = here.properties.get(_CONFIG)
        direction = request.type.value
        part = config.get(direction) if isinstance(config, Mapping) else None
        if not isinstance(part, Mapping):
            raise _wrong(f"it has no part for {direction}s")
        is_import = request.type is Direction.IMPORT
        workspace_id = _text(part, "import_vm_workspace_id") if is_import else here.id
        service_id = _text(part, f"{direction}_vm_workspace_service_id")
        return workspace_id, service_id, _text(part, f"{direction}_vm_user_resource_template_name")


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(f"{name} is missing")
    return value


def _wrong(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"This workspace cannot make review resources: in its property {_CONFIG}, {why}. Ask a "
        "TRE administrator to correct the property.",
        field=_CONFIG,
    )
