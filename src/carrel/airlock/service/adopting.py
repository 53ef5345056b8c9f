"""How does a session of a statistics tool become outputs with claims? Read, checked, cut down."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, update

from carrel.airlock import tables
from carrel.airlock.rules import AirlockRequest, RequestFile
from carrel.airlock.rules import acro as sessions
from carrel.airlock.service.taking import Taking
from carrel.core.actors import Actor
from carrel.core.errors import InvalidRequest

_PAPER_BYTES = 16 * 2**20
"""The session's papers are read whole, and are far smaller."""


class Adopting(Taking):
    """The use case for an ACRO session that lies in a draft."""

    def adopt_session(self, actor: Actor, request_id: str, folder: str) -> Sequence[RequestFile]:
        """Turn the ACRO session in `folder` of a draft (empty: at its top) into its outputs.

        Each output keeps what the session says of it as a claim; the session's own papers, and
        what it marks as not to be released, leave the draft. Returns the outputs.

        Raises `InvalidRequest` with what to do if the session cannot be believed even so far;
        the draft then stays as it was.
        """
        with self._database.read() as connection:
            request = self._editable(connection, actor, request_id)
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        inside = {
            file.name.removeprefix(prefix): file
            for file in request.files
            if file.name.startswith(prefix)
        }
        adopted = self._adopted(request, inside)
        dropped = [inside[name] for name in adopted.dropped]
        claims = {inside[name].id: claim for name, claim in adopted.claims.items()}
        with self._database.write() as connection:
            locked = self._editable(connection, actor, request_id, lock=True, whole=False)
            if locked.version != request.version:
                self._change(connection, actor, request, {})  # raises: somebody was faster
            gone = tables.files.c.id.in_([file.id for file in dropped])
            connection.execute(delete(tables.files).where(gone))
            for file in inside.values():
                if file.id in claims:
                    context = {**file.context, "acro": claims[file.id]}
                    row = tables.files.c.id == file.id
                    connection.execute(update(tables.files).where(row).values(context=context))
            self._change(connection, actor, locked, {})
            self._record(
                connection, actor, "session_adopted", locked, folder=folder,
                outputs=len(claims), dropped=[file.sha256 for file in dropped],
            )  # fmt: skip
        for file in dropped:
            self._store.delete(request.id, file.stage, file.id)
        with self._database.read() as connection:
            changed = self._visible(connection, actor, request_id)
        return [file for file in changed.files if file.id in claims]

    def _adopted(
        self, request: AirlockRequest, inside: Mapping[str, RequestFile]
    ) -> sessions.Adopted:
        if sessions.RESULTS not in inside:
            raise InvalidRequest(
                f"There is no {sessions.RESULTS} in this folder of the draft. Add the whole folder "
                "that finalise() wrote, and name it.",
                field="folder",
            )
        sums = {
            name.removeprefix(f"{sessions.CHECKSUMS}/"): self._text(request, file)
            for name, file in inside.items()
            if name.startswith(f"{sessions.CHECKSUMS}/")
        }
        config = inside.get(sessions.CONFIG)
        return sessions.adopt(
            [sessions.SessionFile(name, file.sha256) for name, file in inside.items()],
            self._paper(request, inside[sessions.RESULTS]),
            None if config is None else self._paper(request, config),
            sums,
        )

    def _paper(self, request: AirlockRequest, file: RequestFile) -> bytes:
        if file.size_bytes > _PAPER_BYTES:
            raise InvalidRequest(
                f"{file.name} is larger than {_PAPER_BYTES // 2**20} MiB, so it is no paper of an "
                "ACRO session.",
                field="folder",
            )
        with self._store.open(request.id, file.stage, file.id) as content:
            return content.read()

    def _text(self, request: AirlockRequest, file: RequestFile) -> str:
        return self._paper(request, file)[:200].decode(errors="replace")
