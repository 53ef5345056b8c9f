"""Which errors does Carrel raise on purpose, and what may people read of them?

CarrelError                     500
├── InvalidRequest              422  does not fit its schema; says which field
├── BadRequest                  400  fits the route, but not the template or the present state
├── NotAuthenticated            401
├── Denied                      403  known person, not allowed; says which condition failed
├── NotFound                    404  absent, or not yours to know about
├── Conflict                    409  stale etag, duplicate, busy
│   └── IllegalTransition       409  the state machine has no such move
├── TooManyRequests             429  too often; says when to come again
└── OutsideFailure              502  something outside failed for good
    ├── Unavailable             503  a retry may succeed
    └── IsolationNotEnforced    500  a promise cannot be kept: stop, tell a person
"""

from typing import ClassVar


class CarrelError(Exception):
    """A deliberate error: `str(error)` is safe to show and says what to do."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, log_detail: str = "", field: str | None = None) -> None:
        super().__init__(message)
        self.log_detail = log_detail
        """Goes to the log only, never to a person."""
        self.field = field
        """The offending input field, as a dotted path, where there is one."""


class InvalidRequest(CarrelError):
    """The input does not fit its schema; the message says which field and what would fit."""

    status = 422
    code = "invalid_request"


class BadRequest(CarrelError):
    """Fits its route, but not the template or the present state, or is not well-formed HTTP.

    An error that is also an `InvalidRequest` or an `IllegalTransition` inherits from this first.
    """

    status = 400
    code = "bad_request"


class NotAuthenticated(CarrelError):
    """Nobody is signed in, or the proof of it is not valid any more."""

    status = 401
    code = "not_authenticated"


class Denied(CarrelError):
    """A known person may not do this; the message says which condition failed."""

    status = 403
    code = "denied"


class NotFound(CarrelError):
    """Absent, or not yours to know about: the two are indistinguishable on purpose."""

    status = 404
    code = "not_found"


class Conflict(CarrelError):
    """The request met a newer state: stale etag, duplicate name, busy resource."""

    status = 409
    code = "conflict"


class IllegalTransition(Conflict):
    """The state machine has no such move."""

    code = "illegal_transition"


class TooManyRequests(CarrelError):
    """Somebody asks too often; a later retry will succeed."""

    status = 429
    code = "too_many_requests"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: int = 60,
        log_detail: str = "",
        field: str | None = None,
    ) -> None:
        super().__init__(message, log_detail=log_detail, field=field)
        self.retry_after_seconds = retry_after_seconds


class OutsideFailure(CarrelError):
    """Something outside Carrel failed, and a retry will not help."""

    status = 502
    code = "outside_failure"


class Unavailable(OutsideFailure):
    """Something outside Carrel failed, and a later retry may succeed."""

    status = 503
    code = "unavailable"


class IsolationNotEnforced(OutsideFailure):
    """A promise of isolation cannot be kept: stop, and tell a person."""

    status = 500
    code = "isolation_not_enforced"
