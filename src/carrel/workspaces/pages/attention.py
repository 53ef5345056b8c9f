"""What needs an administrator: work that was put aside, and what is not as it should be?"""

from fastapi import APIRouter
from starlette.responses import Response

from carrel.core.web import see_other
from carrel.workspaces.pages.desk import DeskDep

router = APIRouter(prefix="/attention")


@router.get("")
def show_attention(desk: DeskDep) -> Response:
    """Show dead letters and drift."""
    return desk.page(
        "workspaces/attention.html",
        letters=desk.workspaces.list_dead_letters(desk.actor),
        drift=desk.workspaces.list_drift(desk.actor),
    )


@router.post("/{letter_id}/retry")
def retry(desk: DeskDep, letter_id: str) -> Response:
    """Let work that was put aside be tried again."""
    desk.workspaces.retry_dead_letter(desk.actor, letter_id)
    return see_other("/attention")


@router.post("/{letter_id}/discard")
def discard(desk: DeskDep, letter_id: str) -> Response:
    """Give work up that was put aside."""
    desk.workspaces.discard_dead_letter(desk.actor, letter_id)
    return see_other("/attention")
