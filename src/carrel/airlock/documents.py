"""How does the OpenAPI document describe airlock requests, their files and findings?"""

from collections.abc import Mapping
from typing import Any

from carrel.core.documents import (
    COUNT,
    OPEN,
    OPTIONAL_TEXT,
    OPTIONAL_TIME,
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

_PERSON = thing({"id": TEXT, "name": TEXT})
_OPTIONAL_COUNT: Schema = {"type": ["integer", "null"]}
SCHEMAS: Mapping[str, Schema] = {
    "AirlockRequest": thing(
        {
            "id": UUID,
            "resourceVersion": COUNT,
            "workspaceId": UUID,
            "type": choice("import", "export"),
            "title": TEXT,
            "businessJustification": TEXT,
            "status": TEXT,
            "detailedStatus": TEXT,
            "statusMessage": OPTIONAL_TEXT,
            "createdBy": _PERSON,
            "createdWhen": TIME,
            "updatedBy": _PERSON,
            "updatedWhen": TIME,
            "files": many(ref("AirlockFile")),
            "reviews": many(OPEN),
            "history": many(OPEN),
            "reviewUserResources": OPEN,
            "manifestSha256": OPTIONAL_TEXT,
            "policySha256": OPTIONAL_TEXT,
            "_etag": TEXT,
        }
    ),
    "AirlockAnswer": thing(
        {"airlockRequest": ref("AirlockRequest"), "allowedUserActions": many(TEXT)},
        {"furtherUserActions": many(TEXT)},
    ),
    "AirlockFile": thing(
        {"name": TEXT, "size": COUNT, "sha256": OPTIONAL_TEXT, "addedWhen": TIME, "context": OPEN}
    ),
    "Finding": thing(
        {
            "file": OPTIONAL_TEXT,
            "sha256": OPTIONAL_TEXT,
            "scanner": TEXT,
            "scannerVersion": TEXT,
            "rule": TEXT,
            "severity": TEXT,
            "sentence": TEXT,
            "row": _OPTIONAL_COUNT,
            "column": {"type": ["string", "integer", "null"]},
        }
    ),
}
_ONE = ref("AirlockAnswer")
_FILE = thing({"file": ref("AirlockFile")})
_UPLOAD = thing(
    {
        "id": UUID,
        "name": TEXT,
        "size": COUNT,
        "offset": COUNT,
        "expiresAt": TIME,
        "finished": {"type": "boolean"},
    }
)
_COMMENT = thing(
    {
        "id": UUID,
        "group": TEXT,
        "author": _PERSON,
        "text": TEXT,
        "public": {"type": "boolean"},
        "turn": COUNT,
        "when": TIME,
    }
)
_GROUP = thing(
    {
        "name": TEXT,
        "files": many(TEXT),
        "context": TEXT,
        "controls": TEXT,
        "changesRequested": {"type": "boolean"},
    }
)
_BENCH = thing(
    {
        "status": TEXT,
        "turn": choice("author", "independent", "consolidating", "over"),
        "reviewers": COUNT,
        "blinded": {"type": "boolean"},
        "manifestSha256": OPTIONAL_TEXT,
        "policySha256": OPTIONAL_TEXT,
        "outcome": OPTIONAL_TEXT,
        "files": many(OPEN),
        "removed": many(TEXT),
        "submitted": many(OPEN),
        "groups": many(_GROUP),
        "comments": many(_COMMENT),
        "earlierReleases": many(OPEN),
        "sealedWhen": {"type": ["number", "null"]},
        "dueWhen": {"type": ["number", "null"]},
        "may": many(choice("vote", "submit", "comment", "decide")),
    }
)
_POLICY = thing(
    {
        "policy": OPEN,
        "version": COUNT,
        "sha256": TEXT,
        "decidedBy": OPTIONAL_TEXT,
        "decidedWhen": {"type": ["number", "null"]},
    }
)
ANSWERS: Mapping[str, Schema] = {
    "show_airlock_policy": _POLICY,
    "write_airlock_policy": _POLICY,
    "show_bench": _BENCH,
    "cast_vote": _BENCH,
    "write_group": listing("groups", _GROUP),
    "add_comment": thing({"comment": _COMMENT}),
    "publish_comment": thing({"comment": _COMMENT}),
    "submit_review": _ONE,
    "decide_request": _ONE,
    "create_request": _ONE,
    "list_requests": listing("airlockRequests", _ONE),
    "list_my_requests": many(ref("AirlockRequest")),
    "show_request": _ONE,
    "amend_request": _ONE,
    "submit_request": _ONE,
    "cancel_request": _ONE,
    "review_request": _ONE,
    "return_request": _ONE,
    "revoke_request": _ONE,
    "list_findings": listing("findings", ref("Finding")),
    "show_manifest": OPEN,
    "list_outbox": listing("files", thing({"path": TEXT, "size": COUNT, "refused": OPTIONAL_TEXT})),
    "collect_files": _ONE,
    "adopt_session": _ONE,
    "upload_file": _FILE,
    "start_upload": _UPLOAD,
    "show_upload": _UPLOAD,
    "describe_file": _FILE,
    "show_tickets": thing(
        {
            "tickets": many(
                thing(
                    {
                        "id": UUID,
                        "holder": _PERSON,
                        "state": choice("open", "used", "expired", "revoked"),
                        "madeWhen": TIME,
                        "expiresWhen": TIME,
                        "endedWhen": OPTIONAL_TIME,
                    }
                )
            )
        }
    ),
    "show_signing_key": thing({"algorithm": TEXT, "publicKey": TEXT, "sha256": TEXT}),
    "make_link": thing({"containerUrl": TEXT}),
    "make_review_resource": thing(
        {"airlockRequest": ref("AirlockRequest"), "operation": ref("Operation")}
    ),
    "make_ticket": thing({"url": TEXT, "expiresAt": TIME, "manifestSha256": OPTIONAL_TEXT}),
}
MEDIA: Mapping[str, tuple[str, ...]] = {
    "show_content": ("text/plain", "image/png", "image/jpeg", "image/gif", "image/webp"),
    "download_release": ("application/octet-stream", "application/zip", "application/x-tar"),
}
EXAMPLES: Mapping[str, Any] = {
    "write_airlock_policy": {"version": 0, "reviewers": 2, "blinded": True},
    "write_group": {
        "files": ["table2.csv"],
        "context": "Pupils by school.",
        "controls": "Rounded to 5.",
    },
    "cast_vote": {"file": "table2.csv", "vote": "approved"},
    "add_comment": {"text": "Row 3 is small.", "group": "Tables", "public": True},
    "submit_review": {"explanation": "No small counts.", "manifestSha256": "0" * 64},
    "decide_request": {
        "decision": "approve",
        "explanation": "Both agree.",
        "manifestSha256": "0" * 64,
    },
    "create_request": {
        "type": "export",
        "title": "Table 2",
        "businessJustification": "For the paper.",
    },
    "amend_request": {"title": "Table 2", "businessJustification": "For the paper."},
    "collect_files": {"paths": ["table2.csv"]},
    "adopt_session": {"folder": "session"},
    "describe_file": {"columns": {"n": "count"}, "text": "Counts of pupils by school."},
    "review_request": {
        "approval": True,
        "decisionExplanation": "No small counts.",
        "manifestSha256": "0" * 64,
    },
    "return_request": {"explanation": "Round the counts to 5."},
    "revoke_request": {"reason": "Sent to the wrong person."},
    "upload_file": "the bytes of the file",
    "start_upload": "the beginning of the file",
    "append_to_upload": "more bytes of the file",
}
