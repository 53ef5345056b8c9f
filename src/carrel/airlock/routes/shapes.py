"""Which JSON do requests, files and findings have? AzureTRE's; the words live here only."""

from typing import Any

from carrel.airlock.rules import (
    AirlockRequest,
    Finding,
    RequestFile,
    allowed_user_actions,
)
from carrel.airlock.rules.requests import part_of
from carrel.airlock.rules.states import AZURETRE_ACTIONS
from carrel.core.actors import Actor
from carrel.workspaces.routes.shapes import person_json
from carrel.workspaces.rules import Person


def request_for(actor: Actor, request: AirlockRequest) -> dict[str, Any]:
    """Return a request and what the actor may do: AzureTRE's four words, and ours beside them."""
    actions = allowed_user_actions(request.status, part_of(actor, request))
    return {
        "airlockRequest": request_out(request),
        "allowedUserActions": [each for each in actions if each in AZURETRE_ACTIONS],
        "furtherUserActions": [each for each in actions if each not in AZURETRE_ACTIONS],
    }


def request_out(request: AirlockRequest) -> dict[str, Any]:
    """Return AzureTRE's shape of a request, with its seal."""
    return {
        "id": request.id,
        "resourceVersion": request.version,
        "workspaceId": request.workspace_id,
        "type": request.type,
        "title": request.title,
        "businessJustification": request.justification,
        "status": request.status.azuretre,
        "detailedStatus": request.status,
        "statusMessage": request.status_message,
        "createdBy": _person(request.author_id, request.author_name),
        "createdWhen": request.created_at.timestamp(),
        "updatedBy": _person(request.updated_by_id, request.updated_by_name),
        "updatedWhen": request.updated_at.timestamp(),
        "files": [file_out(file) for file in request.files],
        "reviews": [
            {
                "id": review.id,
                "reviewer": _person(review.reviewer_id, review.reviewer_name),
                "dateCreated": review.at.timestamp(),
                "reviewDecision": review.decision,
                "decisionExplanation": review.explanation,
                "manifestSha256": review.manifest_sha256,
                "namedManifest": review.has_named_seal,
            }
            for review in request.reviews
        ],
        "history": [
            {
                "resourceVersion": entry.version,
                "updatedWhen": entry.at.timestamp(),
                "updatedBy": _person(entry.actor_id, entry.actor_name),
                "properties": {
                    "previousStatus": entry.old and entry.old.azuretre,
                    "status": entry.new.azuretre,
                },
                "manifestSha256": entry.manifest_sha256,
            }
            for entry in request.history
        ],
        "reviewUserResources": {
            desk.reviewer_id: {
                "workspaceId": desk.workspace_id,
                "workspaceServiceId": desk.workspace_service_id,
                "userResourceId": desk.user_resource_id,
            }
            for desk in request.review_resources
        },
        "seal": request.seal,
        "manifestSha256": request.manifest_sha256,
        "policySha256": request.policy_sha256,
        "_etag": request.etag,
    }


def file_out(file: RequestFile) -> dict[str, Any]:
    """Return AzureTRE's shape of a file, with its hash."""
    return {
        "name": file.name,
        "size": file.size_bytes,
        "sha256": file.sha256,
        "addedWhen": file.added_at.timestamp(),
        "context": dict(file.context),
    }


def finding_out(finding: Finding) -> dict[str, Any]:
    """Return one finding: the sentence, the place, and what it is bound to."""
    return {
        "file": finding.file,
        "sha256": finding.sha256,
        "scanner": finding.scanner,
        "scannerVersion": finding.scanner_version,
        "rule": finding.rule,
        "severity": finding.severity,
        "sentence": finding.sentence,
        "row": finding.row,
        "column": finding.column,
    }


def _person(account_id: str, name: str) -> dict[str, Any]:
    """Return who did something; AzureTRE's clients look for the empty fields too."""
    return person_json(Person(account_id, name))
