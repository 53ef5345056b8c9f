"""Does every error become one answer, in the shape that whoever asked can read?"""

from collections.abc import Iterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field

from carrel.api.assembly import create_app, gateway_source
from carrel.api.bodies import BODY_LIMIT_BYTES
from carrel.core import errors
from carrel.core.actors import Actor
from carrel.core.settings import Settings
from carrel.core.web import ActorDep, Services, accepts_uploads
from carrel.people.tokens.identity import TreIdentity
from tests.web import app_client

ERRORS = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.CarrelError)
}


class Nobody:
    """An authenticator for whom everybody is nobody."""

    def authenticate(self, request: Request) -> Actor | None:
        return None

    def csrf_token(self, request: Request) -> str:
        return ""


class Thing(BaseModel):
    size: int = Field(ge=1)


class Away(Nobody):
    """An authenticator whose database does not answer."""

    def authenticate(self, request: Request) -> Actor | None:
        raise errors.Unavailable("The database does not answer. Try again in a moment.")


IDENTITY = TreIdentity("t" * 8, "c" * 8, "https://localhost:8443/tttttttt/v2.0")


def make_services() -> Services:
    services = Services()
    services.add(IDENTITY)
    return services


def make_routes() -> APIRouter:
    router = APIRouter()

    @router.get("/raise/{code}")
    def raise_it(code: str) -> None:
        raise ERRORS[code]("Do this instead.", log_detail="secret detail", field="properties.x")

    @router.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("secret detail")

    @router.get("/mine")
    def mine(actor: ActorDep) -> str:
        return actor.id

    @router.post("/things")
    def make(thing: Annotated[Thing, Body()]) -> int:
        return thing.size

    @router.post("/uploads")
    @accepts_uploads
    async def upload(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    return router


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    routes = make_routes()
    app = create_app(make_services(), Settings(), Nobody(), [routes], [routes])
    with app_client(app) as made:
        yield made


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_programs_get_a_problem_document(client, code):
    answer = client.get(f"/api/raise/{code}")
    assert answer.status_code == ERRORS[code].status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body == {
        "type": f"urn:carrel:problem:{code}",
        "title": body["title"],
        "status": ERRORS[code].status,
        "code": code,
        "detail": "Do this instead.",
        "field": "properties.x",
        "request_id": answer.headers["x-request-id"],
    }


@pytest.mark.parametrize("code", sorted(set(ERRORS) - {"not_authenticated"}))
def test_people_get_a_page_with_the_same_sentence(client, code):
    answer = client.get(f"/raise/{code}")
    assert answer.status_code == ERRORS[code].status
    assert "Do this instead." in answer.text
    assert "secret detail" not in answer.text
    assert "<h1" in answer.text


def test_people_who_are_not_signed_in_are_sent_to_sign_in(client):
    answer = client.get("/mine?a=b")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/sign-in?next=%2Fmine%3Fa%3Db",
    )


def test_programs_that_are_not_signed_in_are_told_how(client):
    answer = client.get("/api/mine")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/bug", "/api/bug"])
def test_a_bug_gives_a_sentence_and_a_number_and_no_detail(client, path):
    answer = client.get(path)
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.text
    assert "secret detail" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    ("body", "field"),
    [('{"size": 0}', "size"), ('{"size": "big"}', "size"), ("{}", "size"), ("[]", None)],
)
def test_what_does_not_fit_names_its_field(client, body, field):
    answer = client.post("/api/things", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"
    assert field is None or answer.json()["field"] == field


@pytest.mark.parametrize(
    "body",
    [
        '{"size": 1, "size": 2}',
        '{"size": NaN}',
        '{"size": Infinity}',
        "{",
        "[" * 100_000,
        '{"a": {"b": 1, "b": 2}}',
    ],
)
def test_json_that_two_readers_read_differently_is_refused(client, body):
    answer = client.post("/api/things", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"


def test_a_request_may_hold_one_mebibyte_and_no_more(client):
    body = b'{"size": 1}' + b" " * (BODY_LIMIT_BYTES - 11)
    headers = {"content-type": "application/json"}
    assert client.post("/api/things", content=body, headers=headers).status_code == 200
    refused = client.post("/api/things", content=body + b" ", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_a_body_without_a_length_is_counted_while_it_comes(client):
    pieces = (b" " * 65536 for _ in range(17))
    assert client.post("/api/things", content=pieces).status_code == 413


def test_uploads_stream_and_keep_their_own_limit(client):
    assert client.post("/api/uploads", content=b"x" * (BODY_LIMIT_BYTES + 5)).json() == (
        BODY_LIMIT_BYTES + 5
    )


@pytest.mark.parametrize("path", ["//api/ping", "/api//ping", "///api///ping"])
def test_doubled_slashes_are_tolerated(client, path):
    answer = client.get(f"https://localhost:8443{path}")
    assert (answer.status_code, answer.json()) == (200, "pong")


@pytest.mark.parametrize(
    ("offered", "kept"), [("abcd-1234", True), ("short", False), ("a b" * 9, False)]
)
def test_a_request_number_is_taken_over_if_it_looks_like_one(client, offered, kept):
    answer = client.get("/api/ping", headers={"x-request-id": offered})
    assert (answer.headers["x-request-id"] == offered) is kept


def test_nothing_here_and_wrong_method_say_so(client):
    assert client.get("/api/nothing").json()["code"] == "not_found"
    assert client.delete("/api/ping").status_code == 405
    assert "Nothing here" in client.get("/nothing").text


@pytest.mark.parametrize("path", ["/about", "/api/ping", "/nothing"])
def test_every_answer_has_the_strict_headers(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["strict-transport-security"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_the_openapi_document_lists_the_api_and_no_page(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    assert "/api/ping" in paths
    assert not [path for path in paths if not path.startswith("/api/")]


@pytest.mark.parametrize(("path", "status"), [("/mine", 503), ("/nothing", 404)])
def test_people_get_a_page_also_while_the_database_is_away(path, status):
    app = create_app(make_services(), Settings(), Away(), [make_routes()], [])
    with app_client(app) as client:
        answer = client.get(path)
    assert answer.status_code == status
    assert "<h1" in answer.text
    assert ("The database does not answer." in answer.text) is (status == 503)
    assert ("retry-after" in answer.headers) is (status == 503)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("{workspace}.carrel.localhost", "https://*.carrel.localhost:8444"),
        ("tool-{workspace}.tre.example.org", "https://*.tre.example.org:8444"),
        ("gateway.example.org", "https://gateway.example.org:8444"),
    ],
)
def test_forms_may_be_sent_on_to_the_gateway_and_nowhere_else(host, source):
    assert gateway_source(Settings(gateway_host=host)) == source
