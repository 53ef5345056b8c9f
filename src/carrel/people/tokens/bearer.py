"""Which actor does an access token make, at this route? Carrel's answer to AzureTRE's rules."""

from carrel.core.actors import CORE_AUDIENCE, Actor
from carrel.core.clock import Clock
from carrel.core.errors import Denied
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings
from carrel.core.web import Audience, AudienceMark
from carrel.people.service import People
from carrel.people.tokens.identity import TreIdentity, tre_identity
from carrel.people.tokens.keys import KeySource
from carrel.people.tokens.rules import Claims, Refusal, TokenRefused, check_audience
from carrel.people.tokens.validator import TokenValidator

NO_TRE_ROLE = (
    "The user is missing a required role: ['TREAdmin', 'TREUser']. Ask a TRE administrator for one."
)


class AccessTokens:
    """Turns access tokens into actors."""

    def __init__(
        self,
        people: People,
        validator: TokenValidator,
        identity: TreIdentity,
        *,
        foreign_audience: str = "",
    ) -> None:
        self._people = people
        self._validator = validator
        self._identity = identity
        self._foreign_audience = foreign_audience.removeprefix("api://")

    def actor(
        self,
        token: str,
        mark: AudienceMark,
        *,
        workspace_id: str | None,
        request_id: str | None,
    ) -> Actor:
        """Return who holds the token, as the route with this `mark` may see them.

        Raises `TokenRefused`, or `Denied` for an account without any role in the TRE.
        """
        claims = self._validator.validate(token)
        is_own = self._validator.is_own(claims)
        core = self._identity.api_client_id if is_own else self._foreign_audience
        names = {core: CORE_AUDIENCE}
        if workspace_id is not None:
            names[workspace_id] = workspace_id
        wanted = self._taken(mark.audience, core, workspace_id)
        check_audience(claims, wanted)
        audience = names[claims.audience]
        actor = self._people.actor_for_claims(
            claims,
            is_own=is_own,
            audience=audience,
            with_memberships=mark.with_memberships and audience == CORE_AUDIENCE,
            request_id=request_id,
        )
        if audience == CORE_AUDIENCE:
            _check_core(actor, mark, workspace_id, claims)
        return actor

    @staticmethod
    def _taken(audience: Audience, core: str, workspace_id: str | None) -> frozenset[str]:
        inside = frozenset({workspace_id} if workspace_id is not None else ())
        if audience is Audience.CORE:
            return frozenset({core})
        if audience is Audience.WORKSPACE:
            return inside
        return inside | {core}


def _check_core(actor: Actor, mark: AudienceMark, workspace_id: str | None, claims: Claims) -> None:
    """Raise unless a core token may be used here by this actor."""
    if mark.audience is Audience.EITHER and not actor.is_admin:
        if mark.with_memberships and workspace_id and actor.is_member(workspace_id):
            return
        raise TokenRefused(Refusal.AUDIENCE, "core token", claimed={"oid": claims.subject})
    if not actor.tre_roles:
        raise Denied(NO_TRE_ROLE)


def access_tokens(
    people: People, settings: Settings, keys: KeyRing, clock: Clock, source: KeySource | None
) -> AccessTokens:
    """Return the access tokens of a TRE; `source` has the keys of the embedded issuer."""
    identity = tre_identity(settings, keys)
    validator = TokenValidator(identity, clock, source=source, settings=settings)
    return AccessTokens(people, validator, identity, foreign_audience=settings.foreign_audience)
