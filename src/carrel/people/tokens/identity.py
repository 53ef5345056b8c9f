"""Under which names does this TRE issue access tokens and take them?"""

import uuid
from dataclasses import dataclass

from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings

SCOPE_PREFIX = "api://"
USER_SCOPE = "user_impersonation"


@dataclass(frozen=True, slots=True)
class TreIdentity:
    """The names of one TRE in the world of tokens."""

    tenant_id: str
    api_client_id: str
    """The audience of core tokens; a workspace's audience is the workspace's own id."""
    issuer_url: str
    """The `iss` of every token that the embedded issuer makes."""

    @property
    def api_root_scope(self) -> str:
        """The scope by which a client asks for a core token."""
        return f"{SCOPE_PREFIX}{self.api_client_id}/{USER_SCOPE}"


def workspace_scope(workspace_id: str) -> str:
    """Return the `scope_id` of a workspace; `/user_impersonation` makes it a scope."""
    return f"{SCOPE_PREFIX}{workspace_id}"


def tre_identity(settings: Settings, keys: KeyRing) -> TreIdentity:
    """Return the names from the settings; those that are not set come from the TRE's own key."""
    tenant_id = settings.tenant_id or _guid(keys, "tenant-id")
    base = settings.authority_url or settings.portal_url
    return TreIdentity(
        tenant_id=tenant_id,
        api_client_id=settings.api_client_id or _guid(keys, "api-client-id"),
        issuer_url=f"{base.lower()}/{tenant_id}/v2.0",
    )


def _guid(keys: KeyRing, name: str) -> str:
    return str(uuid.UUID(bytes=keys.derive(name)[:16], version=4))
