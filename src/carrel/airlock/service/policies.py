"""Under which policy does a workspace's airlock work, and who decided that?"""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import IntegrityError

from carrel.airlock import tables
from carrel.airlock.rules import AirlockPolicy
from carrel.airlock.rules.policies import PolicyChoices
from carrel.airlock.service.base import Room
from carrel.core.actors import Actor
from carrel.core.errors import Conflict, Denied, NotFound
from carrel.core.ids import new_id


@dataclass(frozen=True, slots=True)
class WorkspacePolicy:
    """The policy in force in one workspace, and its history in short."""

    policy: AirlockPolicy
    version: int
    """0: nobody decided anything yet; the TRE's own policy is in force."""
    decided_by: str
    decided_at: datetime | None

    @property
    def choices(self) -> PolicyChoices:
        """What of it the workspace can decide."""
        return PolicyChoices.of(self.policy)


class Policing(Room):
    """The use cases on a workspace's policy."""

    def workspace_policy(self, actor: Actor, workspace_id: str) -> WorkspacePolicy:
        """Return the policy in force. Raises `NotFound` to strangers."""
        self._check_known(actor, workspace_id)
        with self._database.read() as connection:
            return self._workspace_policy(connection, workspace_id)

    def name_for(self, actor: Actor, workspace_id: str) -> str:
        """Return what people call a workspace, to its members and to administrators."""
        self._check_known(actor, workspace_id)
        return self._ground.policies.display_name(workspace_id)

    def write_policy(
        self, actor: Actor, workspace_id: str, choices: PolicyChoices, *, seen_version: int
    ) -> WorkspacePolicy:
        """Decide anew; requests that are sealed already keep the policy of their seal.

        Only for administrators of the TRE: who reviews does not decide how many must. Raises
        `Conflict` if somebody decided since `seen_version`.
        """
        self._check_known(actor, workspace_id)
        if not actor.is_admin:
            raise Denied("Only an administrator of the TRE decides about the airlock's policy.")
        choices.check()
        policy = choices.applied(self._ground.policy)
        try:
            with self._database.write() as connection:
                row = _newest(connection, workspace_id)
                version = row.version if row else 0
                if version != seen_version:
                    raise _overtaken()
                connection.execute(
                    tables.policies.insert(),
                    {
                        "id": new_id(),
                        "workspace_id": workspace_id,
                        "version": version + 1,
                        "choices": asdict(choices),
                        "sha256": policy.sha256,
                        "account_id": actor.id,
                        "account_name": actor.name,
                        "at": self._clock.now(),
                    },
                )
                self._audit.append(
                    connection, actor, "airlock.policy_written", workspace_id,
                    workspace_id=workspace_id, version=version + 1, policy_sha256=policy.sha256,
                    choices=asdict(choices),
                )  # fmt: skip
                return self._workspace_policy(connection, workspace_id)
        except IntegrityError as error:
            raise _overtaken() from error

    def _workspace_policy(self, connection: Connection, workspace_id: str) -> WorkspacePolicy:
        row = _newest(connection, workspace_id)
        if row is None:
            return WorkspacePolicy(self._ground.policy, 0, "", None)
        policy = PolicyChoices.kept(row.choices).applied(self._ground.policy)
        return WorkspacePolicy(policy, row.version, row.account_name, row.at)

    def _check_known(self, actor: Actor, workspace_id: str) -> None:
        if not (actor.is_admin or actor.is_member(workspace_id)):
            raise NotFound("There is no such workspace, or you are no member of it.")
        self._ground.policies.display_name(workspace_id)


def _newest(connection: Connection, workspace_id: str) -> Row[tuple[object, ...]] | None:
    table = tables.policies
    query = (
        select(table)
        .where(table.c.workspace_id == workspace_id)
        .order_by(table.c.version.desc())
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _overtaken() -> Conflict:
    return Conflict("Somebody else decided about this policy a moment ago. Reload it and retry.")
