"""Which pages compose several rooms, or are about the TRE as a whole?"""

from fastapi import APIRouter

from carrel.portal.pages import home, tre, workspace

router = APIRouter()
for part in (home, workspace, tre):
    router.include_router(part.router)
