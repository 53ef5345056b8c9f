"""What may a link to a request's files do, for whom, and in which part of the request's life?

A link is for programs that speak Azure's Blob protocol. It never lets out what a person could
not have taken out otherwise: only an approved export can be read by who may release it.
"""

from collections.abc import Collection
from enum import StrEnum

from carrel.airlock.rules.requests import AUTHOR_ROLES, AirlockRequest, Direction
from carrel.airlock.rules.states import EDITABLE, UNDER_REVIEW, Status, Who
from carrel.core.actors import WorkspaceRole
from carrel.core.errors import BadRequest, Denied


class Permission(StrEnum):
    """One thing that a link allows; the letters are those of Azure's `sp`."""

    READ = "r"
    WRITE = "w"
    DELETE = "d"
    LIST = "l"


P = Permission
_LOOK = frozenset({P.LIST})
_READ = frozenset({P.READ, P.LIST})
_ALL = frozenset(P)


def place_of(status: Status) -> str:
    """Return the part of a request's life that a link made now belongs to.

    Raises `BadRequest` where there is nothing that a link could lead to.
    """
    if status in EDITABLE:
        return "draft"
    if status in UNDER_REVIEW | {Status.SUBMITTED, Status.APPROVED}:
        return status.azuretre.value
    raise BadRequest(
        f"This request is {status.words}, so there is no link to its files. Reload the request to "
        "see where it stands."
    )


def link_permissions(
    request: AirlockRequest, part: Who | None, roles: Collection[WorkspaceRole]
) -> frozenset[Permission]:
    """Return what somebody's link may do now. Raises `BadRequest`, or `Denied` to everybody else.

    `part` is theirs in the request, `roles` what they hold in its workspace.
    """
    place_of(request.status)
    is_owner, is_import = WorkspaceRole.OWNER in roles, request.type is Direction.IMPORT
    if request.status in EDITABLE:
        if part is not Who.AUTHOR:
            raise Denied("Only the author of a draft has a link to its files.")
        return _ALL if is_import else _LOOK
    if request.status in UNDER_REVIEW:
        if part is Who.REVIEWER:
            return _READ if is_import else _LOOK
        if is_owner:
            return _LOOK
        raise Denied("During a review only its reviewer or an owner has a link to the files.")
    if request.status is Status.APPROVED and not is_import:
        if part is Who.AUTHOR or is_owner:
            return _READ
        raise Denied("Only the author of this request or an owner may take its files out.")
    if not AUTHOR_ROLES & set(roles):
        raise Denied("Only an owner or a researcher of the workspace has a link to these files.")
    return _LOOK
