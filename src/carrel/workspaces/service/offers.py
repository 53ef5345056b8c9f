"""Which service templates may each workspace use, and who decides it?"""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.errors import Denied, InvalidRequest
from carrel.workspaces.access import check_may_see, not_found
from carrel.workspaces.rules import Offer, Resource, ResourceKind, parse_version
from carrel.workspaces.service.base import Room
from carrel.workspaces.store.offers import find_offers, write_offers

K = ResourceKind


class Offers(Room):
    """Use cases on the catalogue of one workspace."""

    def workspace_offers(self, actor: Actor, workspace_id: str) -> Sequence[Offer] | None:
        """Return what a workspace may use; None if that is every template. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_see(actor, self._workspace(connection, workspace_id))
            return find_offers(connection, workspace_id)

    def set_workspace_offers(
        self, actor: Actor, workspace_id: str, offers: Sequence[Offer] | None
    ) -> None:
        """Set what a workspace may use from now on; administrators only.

        None lifts the limit. What is there already stays, whatever it was made of. Raises
        `InvalidRequest` naming the template or version that is not registered.
        """
        with self.changing() as connection:
            workspace = check_may_see(actor, self._workspace(connection, workspace_id))
            if not (actor.is_admin or actor.is_system):
                raise Denied(
                    "Only a TRE administrator sets which templates a workspace may use; ask one."
                )
            self._check(connection, offers or ())
            write_offers(connection, actor, workspace.id, offers, self.clock.now())
            names = None if offers is None else [f"{each.name}:{each.version}" for each in offers]
            self.note(connection, actor, workspace, "catalogue_set", offers=names)

    def _workspace(self, connection: Connection, workspace_id: str) -> Resource:
        found = self.find_workspace(connection, workspace_id)
        if found is None:
            raise not_found(K.WORKSPACE)
        return found

    def _check(self, connection: Connection, offers: Sequence[Offer]) -> None:
        counts = Counter(each.name for each in offers)
        for number, offer in enumerate(offers):
            field = f"templates.{number}"
            if counts[offer.name] > 1:
                raise InvalidRequest(f"{offer.name} stands twice. Name it once.", field=field)
            if offer.version:
                parse_version(offer.version)
            versions = self.catalogue.list_all_versions(connection, K.SERVICE, "", offer.name)
            if not any(offer.version in {"", each.version} for each in versions):
                raise InvalidRequest(
                    f"There is no workspace service template {offer.name} {offer.version}".rstrip()
                    + ". Look at the list of templates.",
                    field=field,
                )
