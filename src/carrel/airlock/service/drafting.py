"""How does an author make, fill, submit and cancel a request?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, BinaryIO

from sqlalchemy import Connection, delete, update

from carrel.airlock import tables
from carrel.airlock.rules import (
    EDITABLE,
    AirlockPolicy,
    AirlockRequest,
    Direction,
    RequestFile,
    Status,
    Who,
    check_who,
)
from carrel.airlock.rules.contents.pickles import REPORT
from carrel.airlock.rules.disclosure import Statistic
from carrel.airlock.rules.formats import TABLES, suffix
from carrel.airlock.rules.names import clean_name, name_problem
from carrel.airlock.rules.requests import AUTHOR_ROLES, canonical, digest, manifest_of, part_of
from carrel.airlock.rules.sidecar import LIMIT_BYTES, SUFFIX, read_sidecar
from carrel.airlock.service.base import DISCARD, SCAN, TEXT_LIMIT, chunks, limited_text
from carrel.airlock.service.commenting import load_comments, load_groups
from carrel.airlock.service.policies import Policing
from carrel.airlock.service.records import load_request
from carrel.airlock.service.rounds import unanswered_groups, undescribed_files
from carrel.airlock.service.taking import Taking
from carrel.core.actors import Actor
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotFound
from carrel.core.ids import new_etag, new_id
from carrel.runtime.ports import OutboxFile

TITLE_LIMIT = 200


NO_JUSTIFICATION = "Business Justifications"
"""What AzureTRE writes where nobody said why; it is not a reason."""

_CLAIMS = frozenset({"acro", "table"})
"""What came with a file from inside stays with it, whatever its author says of it later."""


class AirlockClosed(Denied):
    """The workspace has no airlock; AzureTRE answers 405."""

    status = 405
    code = "airlock_closed"


class Drafting(Taking, Policing):
    """The author's use cases."""

    def create(
        self, actor: Actor, workspace_id: str, *, type: Direction | str,  # noqa: A002 AzureTRE's word
        title: str,
        justification: str = "",
    ) -> AirlockRequest:  # fmt: skip
        """Open a draft. Its author must be owner or researcher of the workspace."""
        self._check_author_role(actor, workspace_id)
        direction = _direction(type)
        self._check_enabled(workspace_id)
        self._check_deployed(workspace_id)
        now, request_id = self._clock.now(), new_id()
        values: dict[str, Any] = {
            "id": request_id,
            "workspace_id": workspace_id,
            "type": direction.value,
            "title": _line(title, "title", TITLE_LIMIT),
            "justification": limited_text(justification, "justification"),
            "status": Status.DRAFT.value,
            "status_message": "",
            "author_id": actor.id,
            "author_name": actor.name,
            "created_at": now,
            "updated_at": now,
            "updated_by_id": actor.id,
            "updated_by_name": actor.name,
            "since": now,
            "version": 0,
            "etag": new_etag(),
            "seal": 0,
            "manifest_sha256": "",
            "policy_sha256": "",
        }
        with self._database.write() as connection:
            connection.execute(tables.requests.insert(), values)
            request = load_request(connection, request_id)
            self._record(
                connection, actor, "created", request, type=direction.value, title=request.title
            )
        return request

    def amend(
        self, actor: Actor, request_id: str, *, title: str, justification: str
    ) -> AirlockRequest:
        """Write a draft's title and justification anew."""
        changes = {
            "title": _line(title, "title", TITLE_LIMIT),
            "justification": limited_text(justification, "justification"),
        }
        with self._database.write() as connection:
            request = self._editable(connection, actor, request_id, lock=True)
            self._change(connection, actor, request, changes)
            self._record(connection, actor, "amended", request)
            return load_request(connection, request_id)

    def add_file(
        self, actor: Actor, request_id: str, name: str, content: Iterable[bytes]
    ) -> RequestFile:
        """Take a file into an import draft, hashing it on the way; replaces one of that name."""
        with self._database.read() as connection:
            request = self._editable(connection, actor, request_id, whole=False)
        if request.type is not Direction.IMPORT:
            raise Denied(
                "Files of an export come from the workspace's outbox only: save them to /outbox "
                "and collect them."
            )
        return self._take(actor, request, name, content)

    def list_outbox(self, actor: Actor, workspace_id: str) -> Sequence[OutboxFile]:
        """List what could be exported, with the reason where it could not."""
        self._check_author_role(actor, workspace_id)
        return [
            replace(file, refused=file.refused or name_problem(file.path))
            for file in self._boxes.list_outbox(workspace_id, uid=self._uid(actor, workspace_id))
        ]

    def add_from_outbox(
        self, actor: Actor, request_id: str, paths: Sequence[str]
    ) -> Sequence[RequestFile]:
        """Copy files out of the outbox into an export draft, then hash the copies.

        What happens in the outbox later changes nothing here; collecting a path again replaces
        its copy. The first file that cannot be collected ends it; those before it stay.
        """
        with self._database.read() as connection:
            request = self._editable(connection, actor, request_id)
        if request.type is not Direction.EXPORT:
            raise Denied("An import takes uploaded files; only an export collects from the outbox.")
        if not paths:
            raise InvalidRequest("Choose at least one file of the outbox.", field="paths")
        return [self._collect(actor, request, path) for path in dict.fromkeys(paths)]

    def _collect(self, actor: Actor, request: AirlockRequest, path: str) -> RequestFile:
        clean_name(path)
        content: BinaryIO
        uid = self._uid(actor, request.workspace_id)
        sidecar = self._sidecar(request, path, uid)
        with self._boxes.open_outbox(request.workspace_id, path, uid=uid) as content:
            return self._take(actor, request, path, chunks(content), sidecar)

    def _sidecar(self, request: AirlockRequest, path: str, uid: int) -> Mapping[str, Any]:
        """Return what the file beside this one declares of it; nothing if there is none.

        Raises `InvalidRequest` if there is one that cannot be read.
        """
        if suffix(path) not in TABLES:
            return {}
        try:
            beside = self._boxes.open_outbox(request.workspace_id, f"{path}{SUFFIX}", uid=uid)
        except NotFound:
            return {}
        with beside:
            content = beside.read(LIMIT_BYTES + 1)
        if len(content) > LIMIT_BYTES:
            raise InvalidRequest(
                f"{path}{SUFFIX} is larger than {LIMIT_BYTES // 2**20} MiB. Write it with "
                "carrel_outputs, or remove it.",
                field="paths",
            )
        return {"table": read_sidecar(content).model_dump(mode="json")}

    def _uid(self, actor: Actor, workspace_id: str) -> int:
        """Return the host uid that may read what the actor collects."""
        return self._ground.policies.host_member(workspace_id, actor.id).uid

    def remove_file(self, actor: Actor, request_id: str, name: str) -> None:
        """Take a file out of a draft."""
        with self._database.write() as connection:
            request = self._editable(connection, actor, request_id, lock=True)
            file = _existing(request, name)
            connection.execute(delete(tables.files).where(tables.files.c.id == file.id))
            self._change(connection, actor, request, {})
            self._record(connection, actor, "file_removed", request, sha256=file.sha256)
        self._store.delete(request.id, file.stage, file.id)

    def describe_file(
        self, actor: Actor, request_id: str, name: str, context: Mapping[str, Any]
    ) -> RequestFile:
        """Declare what a file shows: `text`, and `columns` from header to statistic.

        A claim for the reviewer: it softens a small-count flag to a check, and never removes it.
        """
        checked = _context(context)
        with self._database.write() as connection:
            request = self._editable(connection, actor, request_id, lock=True)
            file = _existing(request, name)
            checked = {**checked, **{key: file.context[key] for key in _CLAIMS & set(file.context)}}
            connection.execute(
                update(tables.files).where(tables.files.c.id == file.id).values(context=checked)
            )
            self._change(connection, actor, request, {})
            self._record(connection, actor, "file_described", request, sha256=file.sha256)
        return replace(file, context=checked)

    def submit(self, actor: Actor, request_id: str) -> AirlockRequest:
        """Seal the files as they are now, and start the scanners."""
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            check_who(Who.AUTHOR, part_of(actor, request))
            if request.status in EDITABLE:
                self._check_enabled(request.workspace_id)
                _check_complete(request)
            policy = self._workspace_policy(connection, request.workspace_id).policy
            if request.status in EDITABLE:
                _check_explained(connection, request, policy)
            self._seal(connection, actor, request, policy)
            self._put_work(connection, SCAN, request)
            mine = tables.blocks.c.request_id == request.id
            connection.execute(delete(tables.blocks).where(mine))
            begun = tables.uploads.c.request_id == request.id
            connection.execute(delete(tables.uploads).where(begun))
            return load_request(connection, request_id)

    def _seal(
        self, connection: Connection, actor: Actor, request: AirlockRequest, policy: AirlockPolicy
    ) -> None:
        number = request.seal + 1
        manifest = manifest_of(request, number, request.files)
        self._move(
            connection,
            actor,
            request,
            Status.SUBMITTED,
            seal=number,
            manifest_sha256=digest(manifest),
            policy_sha256=policy.sha256,
            reviewers=policy.reviewers,
            is_blinded=policy.blinded,
            members_may_review=policy.members_may_review,
        )
        connection.execute(
            tables.seals.insert(),
            {
                "id": new_id(),
                "request_id": request.id,
                "number": number,
                "manifest": manifest,
                "sha256": digest(manifest),
                "policy": asdict(policy),
                "policy_sha256": policy.sha256,
                "sealed_at": self._clock.now(),
            },
        )

    def cancel(self, actor: Actor, request_id: str) -> AirlockRequest:
        """Withdraw a request before a decision; its files are deleted."""
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            check_who(Who.AUTHOR, part_of(actor, request))
            self._move(connection, actor, request, Status.CANCELLED)
            self._put_work(connection, DISCARD, request)
            return load_request(connection, request_id)

    def _check_author_role(self, actor: Actor, workspace_id: str) -> None:
        if not actor.is_member(workspace_id):
            raise NotFound("There is no such workspace, or you are no member of it.")
        if not actor.roles_in(workspace_id) & AUTHOR_ROLES:
            raise Denied("Only an owner or a researcher of this workspace may move its files.")

    def _check_enabled(self, workspace_id: str) -> None:
        if not self._ground.policies.policy(workspace_id).airlock_enabled:
            raise AirlockClosed(
                "The airlock of this workspace is closed. Ask a TRE administrator to enable it."
            )

    def _check_deployed(self, workspace_id: str) -> None:
        if not self._ground.policies.is_deployed(workspace_id):
            raise Conflict("Workspace is not deployed. Wait until its installation has ended well.")


def _direction(word: Direction | str) -> Direction:
    try:
        return Direction(word)
    except ValueError as error:
        raise InvalidRequest(
            "A request's type must be `import` or `export`.", field="type"
        ) from error


def _line(text: str, field: str, limit: int) -> str:
    stripped = text.strip()
    if not stripped or len(stripped) > limit or not stripped.isprintable():
        raise InvalidRequest(
            f"The {field} must be one line of 1 to {limit} characters.", field=field
        )
    return stripped


def _context(context: Mapping[str, Any]) -> Mapping[str, Any]:
    columns, text = context.get("columns", {}), context.get("text", "")
    words = [word.value for word in Statistic]
    fits = (
        set(context) <= {"columns", "text", "model"}
        and isinstance(text, str)
        and isinstance(columns, Mapping)
        and all(isinstance(key, str) and word in words for key, word in columns.items())
        and len(canonical(dict(columns))) <= TEXT_LIMIT
    )
    if not fits:
        raise InvalidRequest(
            "A file's context has `text`, and `columns` from header to one of: "
            f"{', '.join(words)}.",
            field="context",
        )
    described = {"columns": dict(columns), "text": limited_text(text, "context")}
    return {**described, **({"model": _report(context["model"])} if "model" in context else {})}


def _report(report: Any) -> Mapping[str, Any]:
    """Return the risk report of a model, checked."""
    fits = (
        isinstance(report, Mapping)
        and set(report) == set(REPORT)
        and all(isinstance(report[key], int | float) and report[key] >= 0 for key in REPORT)
        and report["membership_advantage"] <= 1
    )
    if not fits:
        raise InvalidRequest(
            f"The risk report of a model has the numbers {', '.join(REPORT)}; the last is between "
            "0 and 1.",
            field="model",
        )
    return dict(report)


def _existing(request: AirlockRequest, name: str) -> RequestFile:
    file = request.file(name)
    if file is None:
        raise NotFound("This request has no file of that name.")
    return file


def _check_complete(request: AirlockRequest) -> None:
    if not request.files:
        raise InvalidRequest("There is nothing to submit: add at least one file.", field="files")
    if request.justification in {"", NO_JUSTIFICATION}:
        raise InvalidRequest(
            "Say why these files should cross: fill in the justification.", field="justification"
        )


def _check_explained(
    connection: Connection, request: AirlockRequest, policy: AirlockPolicy
) -> None:
    """Raise `InvalidRequest` unless what the policy and the last review ask for was said."""
    groups = load_groups(connection, request)
    if policy.context_required and (bare := undescribed_files(request, groups)):
        raise InvalidRequest(
            f"Put every file into a group, and say of each group what it shows (context) and what "
            f"protects people (controls); {bare[0][:200]!a} has none yet.",
            field="groups",
        )
    if silent := unanswered_groups(groups, load_comments(connection, request), request):
        raise InvalidRequest(
            f"Changes were requested in the group {silent[0][:100]!a}. Say in a comment on it what "
            "you did; then submit.",
            field="comments",
        )
