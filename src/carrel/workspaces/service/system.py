"""What do the doors and the other rooms ask of this room?"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, insert, select, text

from carrel.core.actors import Actor, system
from carrel.core.errors import Conflict, NotFound
from carrel.runtime.ports import PROOF_IDS, Member
from carrel.workspaces.access import may_open, not_found
from carrel.workspaces.rules import (
    Endpoint,
    OpenWorkspace,
    Power,
    Resource,
    ResourceKind,
    RuntimeNeeds,
    WorkspacePolicy,
    workspace_policy,
)
from carrel.workspaces.service.base import Room
from carrel.workspaces.service.given import identity_of
from carrel.workspaces.store import (
    change_resource,
    find_host_id,
    find_resource,
    list_resources,
)
from carrel.workspaces.tables import host_ids, resources

K = ResourceKind


class SystemUse(Room):
    """Use cases of other rooms."""

    def endpoint_for(self, actor: Actor, resource_id: str) -> Endpoint:
        """Return where the gateway finds the actor's own running user resource.

        Raises `NotFound` unless it runs, it and all above it are enabled, and it is the actor's
        own while the actor is a member: nobody opens somebody else's session, neither the
        workspace's owner nor an administrator.
        """
        with self.database.read() as connection:
            found = find_resource(connection, resource_id)
            if found is None or not may_open(actor, found) or not _is_live(found):
                raise NotFound("It does not run, or it is not yours. Start it in the portal first.")
            above = [
                find_resource(connection, parent_id or "")
                for parent_id in (found.workspace_id, found.parent_id)
            ]
            if not all(each and each.is_enabled for each in above):
                raise NotFound("Its workspace or service is disabled.")
            needs = self.catalogue.of(connection, found).runtime or RuntimeNeeds()
            policy = self._policy(connection, found.workspace_id or "")
            member = find_host_id(connection, found.workspace_id or "", found.owner_id or "")
        if member is None:
            raise NotFound("Its owner is not known to this host. Stop it and start it again.")
        assert found.port is not None
        return Endpoint(
            resource_id=found.id,
            workspace_id=found.workspace_id or "",
            owner_id=found.owner_id or "",
            uid=int(member.id),
            port=found.port,
            prefix_style=needs.prefix_style,
            token=self.keys.tool_token(found.id, found.token_salt),
            downloads_allowed=policy.downloads,
            clipboard_allowed=policy.clipboard,
            title=found.display_name,
        )

    def name_resources(self, connection: Connection) -> int:
        """Give living resources of an earlier release what new ones are named by.

        Without `client_id` and `scope_id` nobody could have a token for a workspace. May be
        called at every start; returns how many were without.
        """
        nameless = [each for each in list_resources(connection) if "tre_id" not in each.properties]
        for each in nameless:
            named = {**each.properties, **identity_of(each, self.settings)}
            change_resource(connection, each.id, properties=named)
            self.note(connection, system("worker"), each, "named")
        return len(nameless)

    def open_workspaces(self) -> Sequence[OpenWorkspace]:
        """Return the workspaces whose doors should stand open now."""
        with self.database.read() as connection:
            found = list_resources(
                connection,
                resources.c.kind == K.WORKSPACE,
                resources.c.is_enabled,
                resources.c.is_deployed,
            )
            policies = [self.catalogue.of(connection, each).policy for each in found]
        return [
            OpenWorkspace(
                each.id,
                each.display_name,
                package_gateway=policy.package_gateway,
                egress_proxy=policy.network == "egress-proxy",
            )
            for each, policy in zip(found, policies, strict=True)
        ]

    def policy(self, workspace_id: str) -> WorkspacePolicy:
        """Return what holds for everybody in a workspace. Raises `NotFound`."""
        with self.database.read() as connection:
            return self._policy(connection, workspace_id)

    def display_name(self, workspace_id: str) -> str:
        """Return what people call a workspace. Raises `NotFound`."""
        with self.database.read() as connection:
            found = find_resource(connection, workspace_id)
        if found is None or found.kind is not K.WORKSPACE:
            raise not_found(K.WORKSPACE)
        return found.display_name

    def is_deployed(self, workspace_id: str) -> bool:
        """Whether a workspace was ever installed with success. Raises `NotFound`."""
        with self.database.read() as connection:
            found = self.find_workspace(connection, workspace_id)
        if found is None:
            raise not_found(K.WORKSPACE)
        return found.is_deployed

    def host_member(self, workspace_id: str, account_id: str) -> Member:
        """Return a member as the host knows them; their id is reserved once and kept.

        Raises `NotFound` if the account is no member of the workspace.
        """
        with self.database.read() as connection:
            if row := find_host_id(connection, workspace_id, account_id):
                return Member(row.id, row.name)
        members = self.people.members_for_system(workspace_id)
        name = next((each.username for each in members if each.account_id == account_id), None)
        if name is None:
            raise NotFound("This account is no member of the workspace; give it a role first.")
        with self.changing() as connection:
            return Member(self.reserve_id(connection, workspace_id, account_id, name), name)

    def workspace_gid(self, workspace_id: str) -> int:
        """Return the host group of a workspace. Raises `NotFound` if it has none (yet)."""
        with self.database.read() as connection:
            row = find_host_id(connection, workspace_id)
        if row is None:
            raise not_found(K.WORKSPACE)
        return int(row.id)

    def reserve_id(
        self, connection: Connection, workspace_id: str, account_id: str, name: str
    ) -> int:
        """Reserve a host id for a member, or with an empty account for the workspace's group.

        May be called twice. Raises `Conflict` if the TRE has no id left.
        """
        if row := find_host_id(connection, workspace_id, account_id):
            return int(row.id)
        first, end = self.runtime.uid_range()
        last = end - PROOF_IDS
        highest = connection.execute(_HIGHEST).scalar()
        chosen = first if highest is None or highest < first else highest + 1
        if chosen > last:
            taken = set(connection.execute(select(host_ids.c.id)).scalars())
            chosen = next((each for each in range(first, last + 1) if each not in taken), -1)
        if chosen < 0:
            raise Conflict(
                f"All {last - first + 1} host ids of this TRE are in use. Delete workspaces that "
                "nobody needs any more."
            )
        keys = {"id": chosen, "workspace_id": workspace_id, "account_id": account_id}
        connection.execute(insert(host_ids), {**keys, "name": name})
        return chosen

    def _policy(self, connection: Connection, workspace_id: str) -> WorkspacePolicy:
        found = self.find_workspace(connection, workspace_id)
        if found is None:
            raise not_found(K.WORKSPACE)
        policy = workspace_policy(self.catalogue.of(connection, found).policy)
        is_open = found.properties.get("enable_airlock") is not False
        return replace(policy, airlock_enabled=policy.airlock_enabled and is_open)


_HIGHEST = text("SELECT max(id) FROM host_ids")


def _is_live(resource: Resource) -> bool:
    return (
        resource.is_enabled
        and resource.is_deployed
        and resource.wants_running
        and resource.power is Power.RUNNING
        and resource.port is not None
    )
