"""How do programs reach the airlock over HTTP? AzureTRE's shapes, and what it lacks.

`requests` raises, follows and decides · `reviews` is how several decide together · `files` and
`uploads` move files · `releases` follows what left · `blobs` is Azure's Blob protocol for links,
outside `/api`.
"""

from fastapi import APIRouter

from carrel.airlock.routes import blobs, files, releases, requests, reviews, uploads
from carrel.airlock.routes.files import download_answer

router = APIRouter()
router.include_router(requests.router)
router.include_router(reviews.router)
router.include_router(files.router)
router.include_router(uploads.router)
router.include_router(releases.router)

__all__ = ["blobs", "download_answer", "router"]
