"""How does the OpenAPI document describe accounts, sessions and users of a workspace?"""

from collections.abc import Mapping
from typing import Any

from carrel.core.actors import TreRole, WorkspaceRole
from carrel.core.documents import (
    FLAG,
    OPTIONAL_TEXT,
    TEXT,
    TIME,
    UUID,
    Schema,
    choice,
    listing,
    many,
    ref,
    thing,
)

_ROLE = thing({"id": TEXT, "displayName": TEXT})
SCHEMAS: Mapping[str, Schema] = {
    "Account": thing(
        {
            "id": UUID,
            "username": TEXT,
            "display_name": TEXT,
            "email": OPTIONAL_TEXT,
            "tre_roles": many(choice(*TreRole)),
            "is_active": FLAG,
            "has_totp": FLAG,
            "created_at": TIME,
            "kind": choice("person", "application"),
        }
    ),
    "Application": thing(
        {
            "client_id": UUID,
            "account_id": UUID,
            "name": TEXT,
            "tre_roles": many(choice(*TreRole)),
            "is_active": FLAG,
            "created_at": TIME,
            "secret_made_at": TIME,
            "secret_expires_at": TIME,
        }
    ),
    "Identity": thing({"issuer": TEXT, "subject": TEXT}),
    "AssignableUser": thing(
        {"id": UUID, "displayName": TEXT, "userPrincipalName": TEXT, "email": TEXT}
    ),
    "User": thing(
        {
            "id": UUID,
            "displayName": TEXT,
            "userPrincipalName": TEXT,
            "email": TEXT,
            "roles": many(_ROLE),
        }
    ),
}
_ONE = thing({"account": ref("Account")})
_APPLICATION = thing({"application": ref("Application")})
_NEW_SECRET = thing({"application": ref("Application"), "secret": TEXT})
_ASSIGNED = thing({"user_ids": many(UUID), "role_id": TEXT})
ANSWERS: Mapping[str, Schema] = {
    "sign_in": thing({"token": TEXT, "expires_at": TIME, "account": ref("Account")}),
    "show_me": thing(
        {
            "account": ref("Account"),
            "workspace_roles": {
                "type": "object",
                "additionalProperties": many(choice(*WorkspaceRole)),
            },
        }
    ),
    "start_own_totp": thing({"uri": TEXT}),
    "list_accounts": listing("accounts", ref("Account")),
    "create_account": _ONE,
    "show_account": _ONE,
    "change_account": _ONE,
    "list_identities": thing({"identities": many(ref("Identity"))}),
    "link_identity": thing({"identity": ref("Identity")}),
    "list_applications": listing("applications", ref("Application")),
    "create_application": _NEW_SECRET,
    "show_application": _APPLICATION,
    "change_application": _APPLICATION,
    "rotate_application_secret": _NEW_SECRET,
    "show_scope_id": thing({"workspaceAuth": thing({"scopeId": TEXT})}),
    "list_users": listing("users", ref("User")),
    "list_roles": listing("roles", _ROLE),
    "list_assignable_users": listing("assignable_users", ref("AssignableUser")),
    "assign_users": _ASSIGNED,
    "remove_user": _ASSIGNED,
}
EXAMPLES: Mapping[str, Any] = {
    "sign_in": {"username": "ada", "password": "a quiet desk by the window"},
    "change_own_password": {"old": "a quiet desk by the window", "new": "a lamp on a green desk"},
    "confirm_own_totp": {"code": "123456"},
    "remove_own_totp": {"password": "a quiet desk by the window"},
    "create_account": {
        "username": "tom",
        "display_name": "Tom",
        "password": "a lamp on a green desk",
    },
    "change_account": {"is_active": False},
    "reset_password": {"password": "a lamp on a green desk"},
    "link_identity": {"issuer": "https://login.example.org/v2.0", "subject": "tom"},
    "create_application": {"name": "Night pipeline", "secret_days": 90},
    "change_application": {"is_active": False},
    "rotate_application_secret": {"secret_days": 90},
    "assign_users": {
        "role_id": "WorkspaceResearcher",
        "user_ids": ["5f0c1d5e-8a5b-4c62-9d3e-0a1b2c3d4e5f"],
    },
}
