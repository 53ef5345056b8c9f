"""How does the OpenAPI document describe errors, health, metadata and the audit record?"""

from collections.abc import Mapping

from carrel.core.documents import (
    COUNT,
    FLAG,
    OPEN,
    OPTIONAL_TEXT,
    TEXT,
    Schema,
    choice,
    many,
    ref,
    thing,
)

_PAGE = thing({"events": many(ref("AuditEvent"))})
SCHEMAS: Mapping[str, Schema] = {
    "Problem": thing(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": TEXT,
            "detail": TEXT,
            "request_id": TEXT,
        },
        {"field": TEXT},
        description="RFC 9457. `detail` says what is wrong and what to do.",
    ),
    "Health": thing(
        {
            "services": many(
                thing({"service": TEXT, "status": choice("OK", "Not OK"), "message": TEXT})
            ),
        },
        {"well": FLAG, "parts": many(OPEN), "roles": many(OPEN), "isolation": OPEN},
    ),
    "Metadata": thing(
        {
            "api_version": TEXT,
            "api_client_id": TEXT,
            "api_root_scope": TEXT,
            "aad_tenant_id": TEXT,
        },
        {"sign_in": TEXT},
    ),
    "AuditEvent": thing(
        {
            "seq": COUNT,
            "action": TEXT,
            "actor": OPTIONAL_TEXT,
            "actor_name": OPTIONAL_TEXT,
            "workspace": OPTIONAL_TEXT,
        }
    ),
}
ANSWERS: Mapping[str, Schema] = {
    "ping": {"const": "pong"},
    "get_health": ref("Health"),
    "get_metadata": ref("Metadata"),
    "start_migrations": thing({"migrations": many(thing({"issueNumber": TEXT, "status": TEXT}))}),
    "list_audit": _PAGE,
    "list_workspace_audit": _PAGE,
    "verify_audit": thing({"intact": FLAG}),
}
MEDIA: Mapping[str, tuple[str, ...]] = {
    "show_docs": ("text/html",),
    "show_workspace_docs": ("text/html",),
    "finish_sign_in": ("text/html",),
}
