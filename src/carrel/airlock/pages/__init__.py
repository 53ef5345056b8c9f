"""Which pages show the airlock? `requests` for one person's part, `reviews` for several people's.

`showing` is how a page of either comes about: act, then draw the request, with the error if any.
"""

from fastapi import APIRouter

from carrel.airlock.pages import requests, reviews

router = APIRouter()
router.include_router(reviews.router)
router.include_router(requests.router)

__all__ = ["router"]
