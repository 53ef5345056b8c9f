"""Where do identifiers and secrets come from?"""

import hashlib
import secrets
import uuid


def new_id() -> str:
    """Return a random UUID4 in its canonical text form."""
    return str(uuid.uuid4())


def new_etag() -> str:
    """Return a fresh entity tag; equality is its only meaning."""
    return secrets.token_hex(8)


def new_secret(size_bytes: int = 32) -> str:
    """Return a URL-safe secret with `size_bytes` of entropy."""
    return secrets.token_urlsafe(size_bytes)


def fingerprint(secret: str) -> str:
    """Return the SHA-256 (hex) under which a high-entropy secret is stored and looked up."""
    return hashlib.sha256(secret.encode()).hexdigest()
