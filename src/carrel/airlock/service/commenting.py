"""How do people explain files to each other: groups with context and controls, and comments?"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, select, update

from carrel.airlock import tables
from carrel.airlock.rules import EDITABLE, UNDER_REVIEW, AirlockRequest, Who, check_who
from carrel.airlock.rules.requests import part_of
from carrel.airlock.rules.reviews import Comment, FileGroup, turn_number
from carrel.airlock.service.base import Room, limited_text
from carrel.core.actors import Actor
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotFound
from carrel.core.ids import new_id

GROUP_LIMIT = 100
NAME_LIMIT = 100


class Commenting(Room):
    """The use cases on groups of files and on comments."""

    def write_group(self, actor: Actor, request_id: str, group: FileGroup) -> Sequence[FileGroup]:
        """Make or rewrite a group of a draft; a file is in one group only, the last it was put in.

        Returns every group.
        """
        name = _name(group.name)
        context = limited_text(group.context, "context")
        controls = limited_text(group.controls, "controls")
        with self._database.write() as connection:
            request = self._editable_by(connection, actor, request_id)
            unknown = [each for each in group.files if request.file(each) is None]
            if unknown:
                raise InvalidRequest(
                    f"This request has no file named {unknown[0][:200]!a}.", field="files"
                )
            now = load_groups(connection, request)
            if len(now) >= GROUP_LIMIT and name not in {each.name for each in now}:
                raise InvalidRequest(f"A request has at most {GROUP_LIMIT} groups.", field="name")
            files = tuple(dict.fromkeys(group.files))
            made = FileGroup(name, files, context, controls)
            self._put_group(connection, request, made, now)
            self._change(connection, actor, request, {})
            self._record(connection, actor, "group_written", request, group=name, files=len(files))
            return load_groups(connection, request)

    def _put_group(
        self, connection: Connection, request: AirlockRequest, made: FileGroup,
        now: Sequence[FileGroup],
    ) -> None:  # fmt: skip
        table = tables.groups
        here = table.c.request_id == request.id
        for other in now:
            if other.name != made.name and set(other.files) & set(made.files):
                left = [each for each in other.files if each not in made.files]
                connection.execute(
                    update(table).where(here, table.c.name == other.name).values(files=left)
                )
        row = {"files": list(made.files), "context": made.context, "controls": made.controls}
        if any(each.name == made.name for each in now):
            connection.execute(update(table).where(here, table.c.name == made.name).values(row))
        else:
            connection.execute(
                table.insert(),
                {
                    "id": new_id(), "request_id": request.id, "name": made.name,
                    "changes_at_seal": 0, **row,
                },
            )  # fmt: skip

    def drop_group(self, actor: Actor, request_id: str, name: str) -> None:
        """Dissolve a group of a draft; its files stay. Raises `NotFound`."""
        with self._database.write() as connection:
            request = self._editable_by(connection, actor, request_id)
            group = next((g for g in load_groups(connection, request) if g.name == name), None)
            if group is None:
                raise NotFound("This request has no group of that name.")
            if group.changes_at_seal == request.seal and request.seal:
                raise Conflict(
                    "Changes were requested of this group. Answer in a comment on it; it can be "
                    "dissolved after the next review."
                )
            table = tables.groups
            connection.execute(
                delete(table).where(table.c.request_id == request.id, table.c.name == name)
            )
            self._change(connection, actor, request, {})
            self._record(connection, actor, "group_dropped", request, group=name)

    def _editable_by(self, connection: Connection, actor: Actor, request_id: str) -> AirlockRequest:
        request = self._visible(connection, actor, request_id, lock=True)
        check_who(Who.AUTHOR, part_of(actor, request))
        if request.status not in EDITABLE:
            raise Conflict(
                f"This request is {request.status.words}; it can be changed as a draft, or when "
                "it was returned."
            )
        return request

    # Comments --------------------------------------------------------------------------------

    def add_comment(
        self, actor: Actor, request_id: str, text: str, *, group: str = "", is_public: bool = False
    ) -> Comment:
        """Say something about a group, or about the whole request.

        A reviewer's public comment is read by the author when the review is over, a private one
        never. What an author says is public, and read once it is submitted.
        """
        said = limited_text(text, "text")
        if not said:
            raise InvalidRequest("Write something.", field="text")
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            is_author = self._check_may_comment(actor, request)
            names = {each.name for each in load_groups(connection, request)}
            if group and group not in names:
                raise InvalidRequest("This request has no group of that name.", field="group")
            made = Comment(
                id=new_id(), group=group, author_id=actor.id, author_name=actor.name, text=said,
                is_public=is_public or is_author, turn=turn_number(request), at=self._clock.now(),
            )  # fmt: skip
            keep_comment(connection, request, made)
            self._record(connection, actor, "commented", request, comment=made.id)
        return made

    def publish_comment(self, actor: Actor, request_id: str, comment_id: str) -> Comment:
        """Make a private comment of yours public, in the turn in which you wrote it."""
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            comment = self._own_comment(connection, actor, request, comment_id)
            table = tables.comments
            connection.execute(update(table).where(table.c.id == comment.id).values(is_public=True))
            self._record(connection, actor, "comment_published", request, comment=comment.id)
        return replace(comment, is_public=True)

    def drop_comment(self, actor: Actor, request_id: str, comment_id: str) -> None:
        """Take back a comment of yours, in the turn in which you wrote it."""
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            comment = self._own_comment(connection, actor, request, comment_id)
            connection.execute(delete(tables.comments).where(tables.comments.c.id == comment.id))
            self._record(connection, actor, "comment_dropped", request, comment=comment.id)

    def _check_may_comment(self, actor: Actor, request: AirlockRequest) -> bool:
        """Return whether the actor is the author. Raises unless it is their turn."""
        part = part_of(actor, request)
        if part is Who.AUTHOR and request.status in EDITABLE:
            return True
        if part is Who.REVIEWER and request.status in UNDER_REVIEW:
            return False
        if part in {Who.AUTHOR, Who.REVIEWER}:
            raise Conflict(f"This request is {request.status.words}; it is not your turn.")
        raise Denied("Only the author and the reviewers of this request comment on it.")

    def _own_comment(
        self, connection: Connection, actor: Actor, request: AirlockRequest, comment_id: str
    ) -> Comment:
        mine = [
            each
            for each in load_comments(connection, request)
            if each.id == comment_id and each.author_id == actor.id
        ]
        if not mine:
            raise NotFound("You made no such comment on this request.")
        self._check_may_comment(actor, request)
        if mine[0].turn != turn_number(request):
            raise Conflict("The turn in which you wrote this is over; it stays as it is.")
        return mine[0]


def keep_comment(connection: Connection, request: AirlockRequest, comment: Comment) -> None:
    """Write a comment down."""
    connection.execute(
        tables.comments.insert(),
        {
            "id": comment.id, "request_id": request.id, "group_name": comment.group,
            "author_id": comment.author_id, "author_name": comment.author_name,
            "text": comment.text, "is_public": comment.is_public, "turn": comment.turn,
            "at": comment.at,
        },
    )  # fmt: skip


def load_comments(connection: Connection, request: AirlockRequest) -> Sequence[Comment]:
    """Return every comment on a request, oldest first; nobody may see them all."""
    table = tables.comments
    query = select(table).where(table.c.request_id == request.id).order_by(table.c.at, table.c.id)
    return [
        Comment(
            id=row.id, group=row.group_name, author_id=row.author_id, author_name=row.author_name,
            text=row.text, is_public=row.is_public, turn=row.turn, at=row.at,
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def load_groups(connection: Connection, request: AirlockRequest) -> Sequence[FileGroup]:
    """Return the groups of a request, by name, with the files that are still there."""
    table = tables.groups
    query = select(table).where(table.c.request_id == request.id).order_by(table.c.name)
    return [
        FileGroup(
            name=row.name,
            files=tuple(name for name in row.files if request.file(name) is not None),
            context=row.context,
            controls=row.controls,
            changes_at_seal=row.changes_at_seal,
        )
        for row in connection.execute(query)
    ]


def _name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable() or "/" in name:
        raise InvalidRequest(
            f"A group's name must be one line of 1 to {NAME_LIMIT} characters without a slash.",
            field="name",
        )
    return name
