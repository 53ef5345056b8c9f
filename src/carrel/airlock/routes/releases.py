"""How do programs follow what was released: the key, the tickets?"""

from typing import Any

from fastapi import APIRouter

from carrel.airlock.binding import AirlockDep
from carrel.airlock.verifying import fingerprint_of

router = APIRouter(tags=["airlock"])


@router.get("/airlock/signing-key")
def show_signing_key(airlock: AirlockDep) -> dict[str, Any]:
    """Return the public key that releases are signed with; open to everybody."""
    key = airlock.signing_key()
    return {"algorithm": "ed25519", "publicKey": key, "sha256": fingerprint_of(key.encode())}
