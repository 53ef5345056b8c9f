"""Which refusals can a route give? Read off what the route takes, for the OpenAPI document."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from carrel.core.documents import OPEN, ref, thing

Document = dict[str, Any]

MEANING: Mapping[int, str] = {
    304: "The answer still has the ETag of If-None-Match.",
    400: "The address is malformed, or the request fits neither template nor present state.",
    401: "Nobody is signed in, the token is not valid any more, or it is for another audience.",
    403: "You may not do this; `detail` says which condition failed.",
    404: "Absent, or not yours to know about.",
    405: "Switched off here.",
    406: "The client accepts nothing of what this route answers.",
    409: "Stale etag, duplicate, busy, or not ready for this.",
    410: "It was there and has expired; begin anew.",
    412: "A version of the protocol that is not spoken here.",
    413: "The body is larger than this route takes.",
    415: "The body is not of the media type that this route reads.",
    417: "A member that this depends on has no e-mail address.",
    422: "A field, parameter or header does not fit; `field` names it.",
    429: "Too many requests; try again after Retry-After seconds.",
    460: "What came does not fit its checksum; send it again (tus 1.0).",
    502: "Something outside Carrel failed for good.",
    503: "Something outside Carrel failed; try again after Retry-After seconds.",
}
_NOT_IN_HTTP: Mapping[int, str] = {460: "Checksum Mismatch"}
_ALWAYS = (400, 406, 422, 503)
_SIGNED = (401, 403, 429)
_ALSO: Mapping[str, tuple[int, ...]] = {
    "sign_in": (401, 403, 429),
    "create_request": (405, 417),
    "show_content": (409,),
    "start_upload": (410, 412, 460),
    "show_upload": (409, 410),
    "append_to_upload": (410, 412, 460),
    "end_upload": (410,),
}
"""What the request does not show, by operation."""


_HEADERS: Mapping[str, str] = {
    "Location": "Where to follow the operation.",
    "ETag": "Changes with the answer; send it back as If-None-Match.",
    "Retry-After": "Seconds to wait.",
    "WWW-Authenticate": "How to sign in.",
}
_COMES_WITH: Mapping[int, str] = {
    304: "ETag",
    401: "WWW-Authenticate",
    429: "Retry-After",
    503: "Retry-After",
}


def headers() -> Document:
    """Return the headers that answers refer to."""
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()
    }


def header(name: str) -> Document:
    """Return the headers of an answer: a reference to one."""
    return {name: {"$ref": f"#/components/headers/{name}"}}


def components() -> Document:
    """Return the answers that operations refer to."""
    shown: Document = {}
    for status, meaning in MEANING.items():
        shown[_name(status)] = {"description": meaning}
        if status in _COMES_WITH:
            shown[_name(status)]["headers"] = header(_COMES_WITH[status])
        if status >= 400:
            shown[_name(status)]["content"] = {
                "application/problem+json": {"schema": ref("Problem")},
                "text/plain": {"schema": {"type": "string"}},
            }
    later = {"schema": thing({"error": OPEN}), "example": {"error": {"retry-after": "30"}}}
    shown[_name(503)]["content"]["application/json"] = later  # AzureTRE's portal reads it at costs
    return shown


def refusals(operation: Document, method: str, name: str, *, is_signed: bool) -> Document:
    """Return every status beside the good one that an operation can answer with."""
    found = {*_ALWAYS, *_ALSO.get(name, ())}
    if is_signed:
        found.update(_SIGNED)
    if any(each["in"] == "path" for each in operation.get("parameters", ())):
        found.add(404)
    if method == "GET":
        found.add(304)
    else:
        found.update({404, 409, 413} if is_signed else {413})
    if "requestBody" in operation:
        found.add(415)
    return {
        str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in sorted(found)
    }


def phrase(status: int) -> str:
    """Return what a status is called; tus has one of its own."""
    return _NOT_IN_HTTP.get(status) or HTTPStatus(status).phrase


def _name(status: int) -> str:
    if status in _NOT_IN_HTTP:
        return _NOT_IN_HTTP[status].replace(" ", "")
    return "".join(word.capitalize() for word in HTTPStatus(status).name.split("_"))
