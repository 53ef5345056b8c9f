"""How does the issuer refuse? In Entra's manner, because its clients read these answers.

RFC 6749 section 5.2 has the words; the numbers are Entra's, where a client looks at them.
"""

from carrel.core.errors import CarrelError


class OAuthError(CarrelError):
    """A refusal of the issuer: a word for programs, a number, and a sentence for people."""

    status = 400
    code = "oauth_error"

    def __init__(self, error: str, number: int, sentence: str, *, log_detail: str = "") -> None:
        super().__init__(sentence, log_detail=log_detail)
        self.error = error
        self.number = number

    @property
    def answer_status(self) -> int:
        """The HTTP status: 401 for a client that did not prove itself, else 400."""
        return 401 if self.error == "invalid_client" else 400

    @property
    def description(self) -> str:
        """The sentence as Entra's clients expect it."""
        return f"AADSTS{self.number}: {self}"


def unknown_tenant(tenant: str) -> OAuthError:
    """Return the refusal of another tenant's address."""
    return OAuthError(
        "invalid_tenant",
        90002,
        f"Tenant '{tenant[:64]}' not found. Use the tenant id that /api/.metadata shows.",
    )


def unknown_client() -> OAuthError:
    """Return the refusal of a client id that nobody registered."""
    return OAuthError(
        "unauthorized_client",
        700016,
        "There is no application with this client id. Use the client id that /api/.metadata "
        "shows, or one that a TRE administrator made.",
    )


def invalid_client() -> OAuthError:
    """Return the one refusal of every wrong client id or secret."""
    return OAuthError(
        "invalid_client",
        7000215,
        "Invalid client secret provided. Check the client id and the secret; a TRE "
        "administrator can make a new secret.",
    )


def unknown_resource(scope: str) -> OAuthError:
    """Return the one refusal for workspaces that are not there and that are not yours."""
    return OAuthError(
        "invalid_resource",
        500011,
        f"The resource principal named {scope[:120]} was not found in this tenant, or you are "
        "not one of its members.",
    )


def invalid_scope(why: str) -> OAuthError:
    """Return the refusal of a scope that means nothing here."""
    return OAuthError("invalid_scope", 70011, why)


def missing(name: str) -> OAuthError:
    """Return the refusal of a request that lacks a parameter."""
    return OAuthError(
        "invalid_request", 900144, f"The request body must contain the parameter: '{name}'."
    )


def invalid_grant(number: int, why: str) -> OAuthError:
    """Return the refusal of a code or refresh token."""
    return OAuthError("invalid_grant", number, why)


def disabled_account() -> OAuthError:
    """Return the refusal of an account that is not in use any more."""
    return invalid_grant(50057, "The account is disabled. Ask your TRE administrator.")
