"""How do programs reach the people room over HTTP?"""

from fastapi import APIRouter

from carrel.people.routes import accounts, applications, members

router = APIRouter()
router.include_router(accounts.router)
router.include_router(applications.router)
router.include_router(members.router)
