"""What is written down about a release when it is approved: its record, its crate, a signature?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, Row, delete, select

from carrel import __version__
from carrel.airlock import tables
from carrel.airlock.ports import Scanner
from carrel.airlock.rules import AirlockRequest, Finding
from carrel.airlock.rules.crate import CrateParts, Scan, crate_of
from carrel.airlock.rules.names import name_problem
from carrel.airlock.rules.requests import canonical
from carrel.airlock.service.base import Room
from carrel.airlock.service.records import load_request, load_seal
from carrel.core.errors import Conflict
from carrel.core.secrets import KeyRing

SIGNING = "release-signing"
"""Of the key ring: the purpose whose key signs releases."""


class Publishing(Room):
    """The part of the airlock's work that makes a release of an approved export."""

    def _note_scans(
        self,
        connection: Connection,
        request: AirlockRequest,
        scanners: Sequence[Scanner],
        findings: Sequence[Finding],
    ) -> None:
        """Remember who examined the seal; a repeated scan replaces what it wrote."""
        table, now = tables.scans, self._clock.now()
        connection.execute(
            delete(table).where(table.c.request_id == request.id, table.c.seal == request.seal)
        )
        for scanner in scanners:
            mine = (found for found in findings if found.scanner == scanner.name)
            row = {"request_id": request.id, "seal": request.seal, "scanner": scanner.name}
            counts = dict(Counter(found.severity.value for found in mine))
            more = {"version": scanner.version, "counts": counts, "at": now}
            connection.execute(table.insert(), {**row, **more})

    def _publish(self, connection: Connection, request_id: str) -> None:
        """Write a release's record and its signed crate, once, inside the move to approved."""
        request = load_request(connection, request_id)
        seal = load_seal(connection, request_id, request.seal)
        check_names(request)
        settings, public_key = self._ground.settings, public_pem(self._ground.keys)
        record = release_record(request, seal, settings.tre_name)
        crate = crate_of(
            CrateParts(
                request=request,
                record=record,
                policy=seal.policy,
                sealed_at=seal.sealed_at,
                approved_at=self._clock.now(),
                scans=_scans(connection, request),
                workspace_name=self._ground.policies.display_name(request.workspace_id),
                tre_name=settings.tre_name,
                tre_url=settings.portal_url,
                carrel_version=__version__,
                public_key=public_key,
            )
        )
        signature = self._ground.keys.signing_key(SIGNING).sign(crate.encode()).hex()
        connection.execute(tables.releases.insert(), {"request_id": request.id, "record": record})
        connection.execute(
            tables.crates.insert(),
            {
                "request_id": request.id,
                "crate": crate,
                "signature": signature,
                "public_key": public_key,
            },
        )


def public_pem(keys: KeyRing) -> str:
    """Return the public half of the key that signs releases, as PEM."""
    public = keys.signing_key(SIGNING).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def check_names(request: AirlockRequest) -> None:
    """Raise `Conflict` if a file, taken in long ago, has a name that is kept today."""
    for file in request.files:
        if problem := name_problem(file.name):
            raise Conflict(
                f"{file.name} cannot leave: {problem}. Rename the file and raise a new request."
            )


def release_record(request: AirlockRequest, seal: Row[Any], tre_name: str) -> str:
    """Return what travels with a release: the seal, its policy, and who approved it."""
    return canonical(
        {
            "version": 1,
            "tre": tre_name,
            "request": request.id,
            "workspace": request.workspace_id,
            "title": request.title,
            "author": request.author_name,
            "manifest": orjson.loads(seal.manifest),
            "manifest_sha256": seal.sha256,
            "policy": seal.policy,
            "policy_sha256": seal.policy_sha256,
            "reviews": [
                {
                    "reviewer": review.reviewer_name,
                    "decision": review.decision,
                    "manifest_sha256": review.manifest_sha256,
                    "at": review.at.isoformat(),
                }
                for review in request.reviews
                if review.seal == request.seal
            ],
        }
    )


def _scans(connection: Connection, request: AirlockRequest) -> Sequence[Scan]:
    table = tables.scans
    query = select(table).where(table.c.request_id == request.id, table.c.seal == request.seal)
    rows = connection.execute(query.order_by(table.c.scanner))
    return [Scan(row.scanner, row.version, row.at, _counted(row.counts)) for row in rows]


def _counted(counts: Mapping[str, Any]) -> Mapping[str, int]:
    return {severity: int(count) for severity, count in sorted(counts.items())}
