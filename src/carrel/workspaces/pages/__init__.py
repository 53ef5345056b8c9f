"""Which pages show templates, resources and operations?

The workspace's own page composes several rooms, so the portal has it.
"""

from fastapi import APIRouter

from carrel.workspaces.pages import attention, catalogue, create, operations, resource

router = APIRouter()
for part in (create, resource, operations, catalogue, attention):
    router.include_router(part.router)
