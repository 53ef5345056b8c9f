"""Which templates may be chosen, and how do new ones come in?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection

from carrel.core.actors import Actor, system
from carrel.core.errors import Denied, InvalidRequest, NotFound
from carrel.workspaces.access import may_use_template, not_found
from carrel.workspaces.bundles import (
    Bundle,
    Registration,
    find_bundles,
    shipped_folder,
    template_of,
)
from carrel.workspaces.rules import Offer, ResourceKind, Template
from carrel.workspaces.service.base import Room
from carrel.workspaces.store.offers import find_offers

Channel = Literal["current", "testing"]
UNKNOWN = "Could not retrieve the template with this name, or name-version pair."


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
        _check_may_read(actor, kind)
        with self.database.read() as connection:
            found = self.catalogue.list_current(connection, kind, parent)
            offers = find_offers(connection, workspace_id) if workspace_id else None
        if workspace_id is None and not is_usable_only:
            return found
        return [
            each
            for each in found
            if may_use_template(actor, each, workspace_id) and is_offered(each, offers)
        ]

    def list_template_versions(
        self, actor: Actor, kind: ResourceKind, name: str, *, parent: str | None = None
    ) -> Sequence[Template]:
        """Return every version of a template, lowest first. Raises `NotFound`."""
        _check_may_read(actor, kind)
        with self.database.read() as connection:
            found = self.catalogue.list_all_versions(connection, kind, parent or "", name)
        if not found:
            raise NotFound(f"{UNKNOWN} There is no {kind} template of this name.")
        return found

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
        _check_may_read(actor, kind)
        with self.database.read() as connection:
            if parent is None:
                parent = self._find_parent(connection, kind, name)
            if version is None:
                return self.catalogue.current(connection, kind, parent, name)
            found = self.catalogue.find(connection, kind, parent, name, version)
        if found is None:
            raise NotFound(f"{UNKNOWN} Version {version} of {name} is not registered.")
        return found

    def register(
        self,
        actor: Actor,
        folder: Path,
        *,
        is_current: bool = True,
        kind: ResourceKind | None = None,
        parent: str | None = None,
        channel: Channel = "current",
    ) -> Template:
        """Bring a bundle from a folder into the TRE; administrators only.

        `kind` and `parent` are for bundles of AzureTRE's outside its tree of folders. Raises
        `InvalidBundle` naming the file and the cause, `Conflict` for a known version.
        """
        _check_may_register(actor)
        template = Bundle.load(folder, kind=kind, parent=parent).template
        return self._add(actor, replace(template, channel=channel), is_current=is_current)

    def register_posted(
        self,
        actor: Actor,
        kind: ResourceKind,
        given: Registration,
        *,
        is_current: bool,
        parent: str | None = None,
        channel: Channel = "current",
    ) -> Template:
        """Take a registration in AzureTRE's form; administrators only.

        Raises `InvalidRegistration` naming the field, `Conflict` for a known version, `NotFound`
        for a user resource whose service template is not registered.
        """
        _check_may_register(actor)
        template = template_of(given, kind, parent)
        return self._add(actor, replace(template, channel=channel), is_current=is_current)

    def withdraw_template(
        self, actor: Actor, kind: ResourceKind, name: str, version: str, reason: str,
        *, parent: str | None = None,
    ) -> Template:  # fmt: skip
        """Let nothing new be made of a version; what was made of it stays.

        If it was the current one, the highest that is left follows. Administrators only.
        """
        return self._change(actor, (kind, parent, name, version), reason)

    def promote_template(
        self, actor: Actor, kind: ResourceKind, name: str, version: str,
        *, parent: str | None = None,
    ) -> Template:  # fmt: skip
        """Make a version the current one, out of testing and back if it was withdrawn."""
        return self._change(actor, (kind, parent, name, version), None)

    def _change(
        self,
        actor: Actor,
        key: tuple[ResourceKind, str | None, str, str],
        withdrawal: str | None,
    ) -> Template:
        _check_may_register(actor)
        kind, parent, name, version = key
        with self.changing() as connection:
            found = self.catalogue.find(connection, kind, parent or "", name, version)
            if found is None:
                raise NotFound(f"{UNKNOWN} Version {version} of {name} is not registered.")
            if withdrawal is None:
                self.catalogue.promote(connection, found)
                self._record(connection, actor, "template.promoted", found)
            else:
                self.catalogue.withdraw(connection, found, withdrawal)
                self._record(connection, actor, "template.withdrawn", found, reason=withdrawal)
            changed = self.catalogue.find(connection, kind, parent or "", name, version)
            assert changed is not None
            return changed

    def _add(self, actor: Actor, template: Template, *, is_current: bool) -> Template:
        with self.changing() as connection:
            if template.kind is ResourceKind.USER_RESOURCE:
                self._check_parent(connection, template)
            self.catalogue.add(connection, template, now=self.clock.now(), is_current=is_current)
            self._record(connection, actor, "template.registered", template)
            found = self.catalogue.find(
                connection, template.kind, template.parent or "", template.name, template.version
            )
            assert found is not None
            return found

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
        self, connection: Connection, actor: Actor, action: str, template: Template, **detail: str
    ) -> None:
        subject = f"{template.kind}:{template.name}:{template.version}"
        self.audit.append(connection, actor, action, subject, parent=template.parent, **detail)


def is_offered(template: Template, offers: Sequence[Offer] | None) -> bool:
    """Whether a workspace with these offers (None: no limit) may use a template at all."""
    is_inner = template.kind is ResourceKind.USER_RESOURCE
    service = template.parent if is_inner else template.name
    return offers is None or service in {each.name for each in offers}


def _check_may_read(actor: Actor, kind: ResourceKind) -> None:
    if kind is ResourceKind.WORKSPACE and not (actor.is_admin or actor.is_system):
        raise Denied("Only a TRE administrator chooses workspace templates; ask one of them.")


def _check_may_register(actor: Actor) -> None:
    if not (actor.is_admin or actor.is_system):
        raise Denied("Only a TRE administrator can register a template; ask one of them.")
