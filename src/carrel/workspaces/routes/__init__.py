"""How do programs reach the room of workspaces over HTTP? In AzureTRE's dialect."""

from fastapi import APIRouter

from carrel.workspaces.routes import lists, operations, resources, templates

router = APIRouter()
router.include_router(templates.router)
router.include_router(lists.router)
router.include_router(resources.router)
router.include_router(operations.router)

__all__ = ["router"]
