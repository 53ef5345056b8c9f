"""Which version of which template may somebody choose for a new resource?

What is current may be chosen by everybody whom the template's roles allow. A version in testing
is for administrators, and for workspaces whose catalogue says so. What was withdrawn, or has no
driver here, is refused where the resource is made.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.errors import Denied
from carrel.workspaces.rules import Offer, ResourceKind, Template
from carrel.workspaces.store.offers import find_offers

K = ResourceKind


def pinned_version(
    connection: Connection, workspace_id: str | None, kind: ResourceKind, name: str
) -> str | None:
    """Return the version that a workspace's catalogue sets for a service, or None."""
    if workspace_id is None or kind is not K.SERVICE:
        return None
    offer = _offer_of(find_offers(connection, workspace_id) or (), name)
    return offer.version or None if offer else None


def check_choice(
    connection: Connection, actor: Actor, template: Template, workspace_id: str | None
) -> None:
    """Raise `Denied` unless the actor may choose this version, in this workspace."""
    offers = find_offers(connection, workspace_id) if workspace_id else None
    if not may_choose(actor, template, offers):
        where = "in this workspace" if workspace_id else "here"
        raise Denied(
            f"Version {template.version} of the template {template.name} may not be used "
            f"{where}; a TRE administrator can change that."
        )


def may_choose(actor: Actor, template: Template, offers: Sequence[Offer] | None) -> bool:
    """Whether the actor may choose this version where these are the offers (None: no limit)."""
    is_inner = template.kind in {K.SERVICE, K.USER_RESOURCE}
    service = template.parent if template.kind is K.USER_RESOURCE else template.name
    offer = _offer_of(offers or (), service or "")
    if is_inner and offers is not None:
        if offer is None:
            return False
        if template.kind is K.SERVICE and offer.version not in {"", template.version}:
            return False
        if template.kind is K.SERVICE and offer.version:
            return True
    if template.channel != "testing":
        return True
    return actor.is_admin or actor.is_system or bool(offer and offer.is_testing)


def _offer_of(offers: Sequence[Offer], name: str) -> Offer | None:
    return next((each for each in offers if each.name == name), None)
