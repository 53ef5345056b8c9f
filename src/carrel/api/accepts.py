"""What does a client want to read? The `Accept` header (RFC 9110, 12.5.1) as quality numbers."""

from collections.abc import Sequence

_ANY = "*/*"


def quality(accept: str, media_type: str) -> float:
    """Return how much the client wants `media_type`, 0 to 1; without a header everything is 1.

    The most exact range counts. Parameters besides `q` are ignored; a malformed q counts as 1.
    """
    best, exactness = 0.0, -1
    main = media_type.partition("/")[0]
    known = {media_type: 2, f"{main}/*": 1, _ANY: 0}
    for wanted, q in _ranges(accept):
        if known.get(wanted, -1) > exactness:
            best, exactness = q, known[wanted]
    return best


def is_named(accept: str, media_type: str) -> bool:
    """Whether the client names exactly this media type."""
    return any(wanted == media_type and q > 0 for wanted, q in _ranges(accept))


def satisfies(accept: str, media_types: Sequence[str]) -> bool:
    """Whether the client would read at least one of the media types."""
    return any(quality(accept, each) > 0 for each in media_types)


def _ranges(accept: str) -> Sequence[tuple[str, float]]:
    found = []
    for part in accept.lower().split(",") if accept.strip() else [_ANY]:
        wanted, *parameters = (piece.strip() for piece in part.split(";"))
        if wanted:
            found.append((wanted, _q(parameters)))
    return found


def _q(parameters: Sequence[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return max(0.0, min(1.0, float(value)))
            except ValueError:
                return 1.0
    return 1.0
