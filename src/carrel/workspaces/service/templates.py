"""Which templates may be chosen, and how do new ones come in?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from carrel.core.actors import Actor, system
from carrel.core.errors import Denied, InvalidRequest, NotFound
from carrel.workspaces.access import may_use_template, not_found
from carrel.workspaces.bundles import Bundle, find_bundles, shipped_folder
from carrel.workspaces.rules import ResourceKind, Template
from carrel.workspaces.service.base import Room


class Templates(Room):
    """Use cases on templates."""

    def list_templates(
        self,
        actor: Actor,
        kind: ResourceKind,
        *,
        parent: str | None = None,
        workspace_id: str | None = None,
        is_usable_only: bool = False,
    ) -> Sequence[Template]:
        """Return the current templates of a kind, by title.

        `parent` is the service template of user resource templates. With `is_usable_only`, or
        within a workspace, only those that the actor's roles may use.
        """
        if workspace_id is not None and not (actor.is_admin or actor.is_member(workspace_id)):
            raise not_found(ResourceKind.WORKSPACE)
        if kind is ResourceKind.WORKSPACE and not (actor.is_admin or actor.is_system):
            raise Denied("Only a TRE administrator chooses workspace templates; ask one of them.")
        with self.database.read() as connection:
            found = self.catalogue.list_current(connection, kind, parent)
        if workspace_id is None and not is_usable_only:
            return found
        return [each for each in found if may_use_template(actor, each, workspace_id)]

    def get_template(
        self,
        actor: Actor,
        kind: ResourceKind,
        name: str,
        version: str | None = None,
        *,
        parent: str | None = None,
    ) -> Template:
        """Return a template, by default its current version. Raises `NotFound`.

        `parent` names the service template of a user resource template; without it, the first
        service that has one of this name.
        """
        if kind is ResourceKind.WORKSPACE and not (actor.is_admin or actor.is_system):
            raise Denied("Only a TRE administrator chooses workspace templates; ask one of them.")
        with self.database.read() as connection:
            if parent is None:
                parent = self._find_parent(connection, kind, name)
            current = self.catalogue.current(connection, kind, parent, name)
            if version in {None, current.version}:
                return replace(current, is_current=True)
            found = self.catalogue.find(connection, kind, parent, name, version or "")
        if found is None:
            raise NotFound(f"Version {version} of the template {name} is not registered.")
        return replace(found, is_current=False)

    def register(self, actor: Actor, folder: Path, *, is_current: bool = True) -> Template:
        """Bring a bundle from a folder into the TRE; administrators only.

        Raises `InvalidBundle` naming the file and the cause, `Conflict` for a known version.
        """
        if not (actor.is_admin or actor.is_system):
            raise Denied("Only a TRE administrator can register a template; ask one of them.")
        template = Bundle.load(folder).template
        with self.changing() as connection:
            if template.kind is ResourceKind.USER_RESOURCE:
                self._check_parent(connection, template)
            became_current = self.catalogue.add(
                connection, template, now=self.clock.now(), is_current=is_current
            )
            self._record(connection, actor, "template.registered", template)
        return replace(template, is_current=became_current)

    def sync_shipped(self, connection: Connection) -> None:
        """Bring in the bundles that come with Carrel and those of the site's folders.

        May be called at every start: what is known and unchanged stays as it is.
        """
        for folder in self._folders():
            template = Bundle.load(folder).template
            if change := self.catalogue.sync(connection, template, now=self.clock.now()):
                self._record(connection, system("templates"), f"template.{change}", template)

    def _folders(self) -> Iterator[Path]:
        for root in (shipped_folder(), *self.settings.template_folders):
            if not root.is_dir():
                raise InvalidRequest(
                    f"The template folder {root} does not exist.", field="template_folders"
                )
            yield from find_bundles(root)

    def _find_parent(self, connection: Connection, kind: ResourceKind, name: str) -> str:
        if kind is not ResourceKind.USER_RESOURCE:
            return ""
        current = self.catalogue.list_current(connection, kind)
        return next((each.parent or "" for each in current if each.name == name), "")

    def _check_parent(self, connection: Connection, template: Template) -> None:
        services = self.catalogue.list_current(connection, ResourceKind.SERVICE)
        if template.parent not in {each.name for each in services}:
            raise NotFound(
                f"The template {template.name} belongs to the service template "
                f"{template.parent}, which is not registered. Register that one first."
            )

    def _record(
        self, connection: Connection, actor: Actor, action: str, template: Template
    ) -> None:
        subject = f"{template.kind}:{template.name}:{template.version}"
        self.audit.append(connection, actor, action, subject, parent=template.parent)
