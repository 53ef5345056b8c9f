"""What does the world need to know of a release? An RO-Crate 1.2 says it, in schema.org's words.

https://www.researchobject.org/ro-crate/specification/1.2 — the actions are those of the Five Safes
profile 0.4 (check, disclosure, sign-off, publishing). Its profile itself is not claimed: a release
from a workspace comes of no registered workflow.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from carrel.airlock.rules.names import CRATE_NAME, KEY_NAME, MANIFEST_NAME, SIGNATURE_NAME
from carrel.airlock.rules.requests import (
    AirlockRequest,
    HistoryEntry,
    RequestFile,
    Review,
    Severity,
    canonical,
)
from carrel.airlock.rules.states import Status

CONTEXT = "https://w3id.org/ro/crate/1.2/context"
PROFILE = "https://w3id.org/ro/crate/1.2"
PROCEDURES = "https://w3id.org/shp#"
"""Where the kinds of assessment are defined."""
_DONE = {"@id": "http://schema.org/CompletedActionStatus"}
_STOPPED = frozenset({Severity.BLOCK.value, Severity.CANNOT_TELL.value})
_ROOT, _CARREL, _TRE = {"@id": "./"}, {"@id": "#carrel"}, {"@id": "#tre"}
_POLICY, _SEAL = {"@id": "#policy"}, {"@id": "#seal"}
Entity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scan:
    """That a scanner examined a seal: which version, and how many findings of each severity."""

    scanner: str
    version: str
    at: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrateParts:
    """What a crate is made of."""

    request: AirlockRequest
    record: str
    """Canonical JSON: what lies in the archive as its manifest."""
    policy: Mapping[str, Any]
    sealed_at: datetime
    approved_at: datetime
    scans: Sequence[Scan]
    workspace_name: str
    tre_name: str
    tre_url: str
    carrel_version: str
    public_key: str


def crate_of(parts: CrateParts) -> str:
    """Return the metadata of a release: JSON-LD, always the same text for the same parts."""
    actions = list(_actions(parts))
    graph = [
        {
            "@id": CRATE_NAME,
            "@type": "CreativeWork",
            "about": _ROOT,
            "conformsTo": {"@id": PROFILE},
        },
        _root(parts, actions),
        *_papers(parts),
        *(_file(file) for file in _by_name(parts.request)),
        *_grounds(parts),
        *_people(parts),
        *(each for action in actions for each in action),
    ]
    document = {"@context": CONTEXT, "@graph": graph}
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()


def part_id(name: str) -> str:
    """Return the id of a file in the crate: its name as a relative address."""
    return quote(name, safe="/")


def _root(parts: CrateParts, actions: Sequence[Sequence[Entity]]) -> Entity:
    request = parts.request
    files = [part_id(file.name) for file in _by_name(request)]
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": request.title,
        "description": f"Files released from {parts.workspace_name} by {parts.tre_name}, "
        f"sealed on {_day(parts.sealed_at)} and approved on {_day(parts.approved_at)}.",
        "identifier": f"urn:uuid:{request.id}",
        "datePublished": _time(parts.approved_at),
        "license": {"@id": "#terms"},
        "author": {"@id": _person(request.author_id)},
        "publisher": _TRE,
        "sourceOrganization": {"@id": "#workspace"},
        "hasPart": [{"@id": each} for each in (*files, MANIFEST_NAME, KEY_NAME, SIGNATURE_NAME)],
        "mentions": [{"@id": action[0]["@id"]} for action in actions],
    }


def _papers(parts: CrateParts) -> Iterator[Entity]:
    record, key = parts.record.encode(), parts.public_key.encode()
    yield {
        **_measured(MANIFEST_NAME, len(record), hashlib.sha256(record).hexdigest()),
        "description": "The sealed manifest, the policy and the reviews, as Carrel keeps them.",
        "encodingFormat": "application/json",
    }
    yield {
        **_measured(KEY_NAME, len(key), hashlib.sha256(key).hexdigest()),
        "description": "The public key of the signature. Compare it with the one that the TRE "
        "publishes: whoever changes everything here can put their own in its place.",
        "encodingFormat": "application/x-pem-file",
    }
    yield {
        "@id": SIGNATURE_NAME,
        "@type": "File",
        "name": SIGNATURE_NAME,
        "description": f"Ed25519 signature (64 bytes) of {CRATE_NAME}.",
        "encodingFormat": "application/octet-stream",
        "about": {"@id": CRATE_NAME},
    }


def _file(file: RequestFile) -> Entity:
    return _measured(file.name, file.size_bytes, file.sha256)


def _measured(name: str, size_bytes: int, sha256: str) -> Entity:
    return {
        "@id": part_id(name),
        "@type": "File",
        "name": name,
        "contentSize": str(size_bytes),
        "sha256": sha256,
    }


def _grounds(parts: CrateParts) -> Iterator[Entity]:
    """Yield who published what under which rules."""
    request = parts.request
    yield {"@id": "#tre", "@type": "Organization", "name": parts.tre_name, "url": parts.tre_url}
    yield {
        "@id": "#workspace",
        "@type": "Project",
        "name": parts.workspace_name,
        "identifier": f"urn:uuid:{request.workspace_id}",
    }
    yield {
        "@id": "#carrel",
        "@type": "SoftwareApplication",
        "name": "Carrel",
        "softwareVersion": parts.carrel_version,
        "provider": _TRE,
    }
    yield {
        "@id": "#terms",
        "@type": "CreativeWork",
        "name": "Terms of the release",
        "description": "No licence is given here. What may be done with the files stands in the "
        "agreements of the project.",
    }
    yield {
        "@id": "#policy",
        "@type": "CreativeWork",
        "name": "Airlock policy in force when the files were sealed",
        "identifier": {"@id": "#policy-hash"},
        "text": canonical(parts.policy),
        "encodingFormat": "application/json",
    }
    yield _hash("#policy-hash", request.policy_sha256)
    yield {
        "@id": "#seal",
        "@type": "CreativeWork",
        "name": "Sealed manifest",
        "version": str(request.seal),
        "dateCreated": _time(parts.sealed_at),
        "isPartOf": {"@id": MANIFEST_NAME},
        "identifier": {"@id": "#seal-hash"},
    }
    yield _hash("#seal-hash", request.manifest_sha256)


def _hash(identifier: str, sha256: str) -> Entity:
    return {"@id": identifier, "@type": "PropertyValue", "propertyID": "sha256", "value": sha256}


def _people(parts: CrateParts) -> Iterator[Entity]:
    request, signed = parts.request, _sign_off(parts.request)
    known = {review.reviewer_id: review.reviewer_name for review in _reviews(request)}
    if signed is not None:
        known[signed.actor_id] = signed.actor_name
    known[request.author_id] = request.author_name
    for account_id, name in sorted(known.items()):
        yield {"@id": _person(account_id), "@type": "Person", "name": name}


def _actions(parts: CrateParts) -> Iterator[list[Entity]]:
    """Yield each action, first, with the entities that only it names."""
    yield [_check(parts)]
    for scan in parts.scans:
        yield list(_examined(scan))
    for number, review in enumerate(_reviews(parts.request), start=1):
        yield list(_reviewed(number, review))
    signed = _sign_off(parts.request)
    if signed is not None:
        yield [_signed_off(signed)]
    yield [_published(parts)]


def _check(parts: CrateParts) -> Entity:
    return {
        **_assessment("#check", "CheckValue", parts.approved_at),
        "name": "Every file compared with its seal, byte for byte",
        "agent": _CARREL,
        "instrument": _SEAL,
    }


def _examined(scan: Scan) -> Iterator[Entity]:
    here = f"#scan-{part_id(scan.scanner)}"
    stopped = any(scan.counts.get(severity) for severity in _STOPPED)
    outcome = "FailedActionStatus" if stopped else "CompletedActionStatus"
    total = sum(scan.counts.values())
    yield {
        **_assessment(here, "ValidationCheck", scan.at),
        "name": f"Examined by the scanner for {scan.scanner}",
        "description": f"{total} findings." if total != 1 else "1 finding.",
        "agent": _CARREL,
        "instrument": {"@id": f"{here}-software"},
        "actionStatus": {"@id": f"http://schema.org/{outcome}"},
        "result": [{"@id": f"{here}-{severity}"} for severity in scan.counts],
    }
    yield {
        "@id": f"{here}-software",
        "@type": "SoftwareApplication",
        "name": f"Carrel's scanner for {scan.scanner}",
        "softwareVersion": scan.version,
        "provider": _TRE,
    }
    for severity, count in scan.counts.items():
        name = f"findings: {severity.replace('_', ' ')}"
        yield {
            "@id": f"{here}-{severity}",
            "@type": "PropertyValue",
            "name": name,
            "value": count,
        }


def _reviewed(number: int, review: Review) -> Iterator[Entity]:
    here = f"#review-{number}"
    yield {
        **_assessment(here, "DisclosureCheck", review.at),
        "name": f"Reviewed by {review.reviewer_name}: {review.decision}",
        "agent": {"@id": _person(review.reviewer_id)},
        "instrument": _POLICY,
        "result": {"@id": f"{here}-decision"},
    }
    yield {
        "@id": f"{here}-decision",
        "@type": "PropertyValue",
        "name": "decision",
        "value": review.decision,
    }


def _signed_off(entry: HistoryEntry) -> Entity:
    return {
        **_assessment("#sign-off", "SignOff", entry.at),
        "name": f"Approved by {entry.actor_name}",
        "agent": {"@id": _person(entry.actor_id)},
        "instrument": _POLICY,
    }


def _published(parts: CrateParts) -> Entity:
    return {
        "@id": "#publishing",
        "@type": "UpdateAction",
        "additionalType": {"@id": f"{PROCEDURES}GenerateCheckValue"},
        "name": "Hashes written down and signed",
        "agent": _CARREL,
        "object": _ROOT,
        "result": [{"@id": MANIFEST_NAME}, {"@id": SIGNATURE_NAME}],
        "endTime": _time(parts.approved_at),
        "actionStatus": _DONE,
    }


def _assessment(identifier: str, kind: str, at: datetime) -> Entity:
    return {
        "@id": identifier,
        "@type": "AssessAction",
        "additionalType": {"@id": f"{PROCEDURES}{kind}"},
        "object": _ROOT,
        "endTime": _time(at),
        "actionStatus": _DONE,
    }


def _reviews(request: AirlockRequest) -> Sequence[Review]:
    return [review for review in request.reviews if review.seal == request.seal]


def _sign_off(request: AirlockRequest) -> HistoryEntry | None:
    """Return the move that let the files go: the last one into delivery."""
    moves = [entry for entry in request.history if entry.new is Status.APPROVING]
    return moves[-1] if moves else None


def _by_name(request: AirlockRequest) -> Sequence[RequestFile]:
    return sorted(request.files, key=lambda file: file.name)


def _person(account_id: str) -> str:
    return f"#person-{quote(account_id, safe='')}"


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _day(at: datetime) -> str:
    return at.date().isoformat()
