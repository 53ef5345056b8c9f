"""Does every error become one answer, in the shape that whoever asked can read?"""

from collections.abc import Iterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field

from carrel.api.assembly import create_app, gateway_source
from carrel.api.bodies import BODY_LIMIT_BYTES
from carrel.api.conditional import tag_of
from carrel.core import errors
from carrel.core.actors import Actor
from carrel.core.settings import Settings, load
from carrel.core.web import ActorDep, Services, accepts_uploads, answers_once
from carrel.people.tokens.identity import TreIdentity
from tests.web import app_client

ERRORS = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.CarrelError)
    if kind.code != "too_many_requests"  # it is made from a time, see test_api_limits
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

    @router.get("/search")
    def search(word: str = "", limit: int = 1) -> str:
        return word

    @router.post("/search")
    def save_search() -> str:
        return "saved"

    @router.get("/search/{thing_id}")
    def found(thing_id: str) -> str:
        return thing_id

    @router.get("/ticket")
    @answers_once
    def ticket() -> int:
        return 1

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
        "[" * 65 + "]" * 65,
        '{"size": 9007199254740992}',
        '{"size": -9007199254740992}',
        '{"size": 1e400}',
        '{"name": "\\u0000"}',
        '{"name": "\\ud800"}',
        '{"\\u0000": 1}',
        '{"\\udfff": 1}',
        "\xff",
        "{} {}",
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


@pytest.mark.parametrize(
    "path", ["//api/ping", "/api//ping", "///api///ping//", "/api/ping/", "/ping/", "/api/", "/api"]
)
def test_doubled_slashes_and_one_at_the_end_change_nothing(client, path):
    answer = client.get(f"https://localhost:8443{path}")
    assert (answer.status_code, answer.json()) == (200, "pong")


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_programs_get_pong_at_the_root(client, accept):
    assert client.get("/", headers={"accept": accept}).json() == "pong"


def test_browsers_get_the_portal_at_the_root(client):
    answer = client.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.status_code == 404  # this application has no home page
    assert "<h1" in answer.text


PLAIN = "text/plain; charset=utf-8"
PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "plain_errors", "kind"),
    [
        ("*/*", False, PROBLEM),
        ("*/*", True, PLAIN),
        ("", True, PLAIN),
        ("", False, PROBLEM),
        ("text/plain", False, PLAIN),
        ("text/plain;q=0.5, application/json", True, PROBLEM),
        ("application/json, text/plain, */*", True, PROBLEM),  # what axios sends
        ("application/json", True, PROBLEM),
        ("application/problem+json", True, PROBLEM),
        ("text/plain;q=0, */*", False, PROBLEM),
        ("image/png", False, PROBLEM),
    ],
)
def test_errors_are_plain_text_for_who_wants_it(accept, plain_errors, kind):
    routes = make_routes()
    settings = Settings(plain_errors=plain_errors)
    app = create_app(make_services(), settings, Nobody(), [], [routes])
    with app_client(app, headers={"accept": accept}) as client:
        answer = client.get("/api/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, kind)
    if kind == PLAIN:
        assert answer.text == "There is nothing at this address. Check it for a typing mistake."


def test_what_a_client_cannot_read_is_not_sent(client):
    refused = client.get("/api/ping", headers={"accept": "image/png, text/html"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    for fine in ("application/*", "text/plain", "image/png, */*;q=0.1", "APPLICATION/JSON;v=1"):
        assert client.get("/api/ping", headers={"accept": fine}).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [("colour=blue", "colour"), ("limit=1&limit=2", "limit"), ("%C3%A9=1", "é"), ("=1", "")],
)
def test_a_query_parameter_that_no_route_knows_is_named(client, query, field):
    answer = client.get(f"/api/search?{query}")
    assert answer.status_code == 422
    assert answer.json().get("field", "") == field


def test_a_parameter_is_not_endless(client):
    assert client.get("/api/search", params={"word": "x" * 1024}).status_code == 200
    refused = client.get("/api/search", params={"word": "x" * 1025})
    assert (refused.status_code, refused.json()["field"]) == (422, "word")


@pytest.mark.parametrize("given", ["x", "1", "{0a0b0c0d-0000-4000-8000-000000000000}"])
def test_an_id_in_a_path_is_a_uuid(client, given):
    refused = client.get(f"/api/search/{given}")
    assert (refused.status_code, refused.json()["field"]) == (422, "thing_id")
    assert client.get("/api/search/0A0b0c0d-0000-4000-8000-000000000000").status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
def test_a_body_that_is_not_declared_as_json_is_not_guessed_at(client, kind):
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/api/things", content=b'{"size": 1}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/merge-patch+json"]
)
def test_json_by_any_of_its_names_is_read(client, kind):
    answer = client.post("/api/things", content=b'{"size": 1}', headers={"content-type": kind})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "address", ["/api/search?word=%00", "/api/search?word=%FF", "/api/%00", "/api/%0A", "/api/%C3"]
)
def test_an_address_is_text_without_control_characters(client, address):
    answer = client.get(address)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_people_see_a_page_for_an_address_that_is_no_text(client):
    answer = client.get("/nowhere/%00")
    assert answer.status_code == 400
    assert "<h1" in answer.text


def test_head_is_get_without_its_body(client):
    got, head = client.get("/api/ping"), client.head("/api/ping")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]
    assert client.head("/api/nothing").status_code == 404


def test_a_get_with_an_effect_takes_no_head(client):
    refused = client.head("/api/ticket")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, OPTIONS")
    assert client.get("/api/ticket").json() == 1


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/api/ping", "GET, HEAD, OPTIONS"), ("/api/search", "GET, HEAD, POST, OPTIONS")],
)
def test_options_says_which_methods_an_address_takes(client, path, allowed):
    answer = client.options(path)
    assert (answer.status_code, answer.headers["allow"]) == (204, allowed)
    assert client.options("/api/nothing").status_code == 404
    assert client.delete(path).headers["allow"] == allowed


def test_no_other_origin_is_allowed_unless_the_site_says_so(client):
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "GET"}
    assert "access-control-allow-origin" not in client.options("/api/ping", headers=asked).headers
    settings = Settings(cors_origins=["http://localhost:3000"])
    app = create_app(make_services(), settings, Nobody(), [], [make_routes()])
    with app_client(app) as open_client:
        allowed = open_client.options("/api/ping", headers=asked).headers
        assert allowed["access-control-allow-origin"] == "http://localhost:3000"
        assert "access-control-allow-credentials" not in allowed
        foreign = {**asked, "origin": "http://evil.example"}
        refused = open_client.options("/api/ping", headers=foreign).headers
        assert "access-control-allow-origin" not in refused


@pytest.mark.parametrize("origin", ["*", "https://*.example.org", "http://a/b", "localhost:3000"])
def test_an_origin_is_exact(origin, tmp_path):
    with pytest.raises(errors.InvalidRequest, match="cors_origins"):
        load(tmp_path, cors_origins=[origin])


def test_a_client_that_has_the_answer_is_told_so(client):
    first = client.get("/api/search")
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = client.get("/api/search", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = client.get("/api/search?word=x", headers={"if-none-match": tag})
    assert (other.status_code, other.json()) == (200, "x")
    assert "etag" not in client.get("/api/nothing").headers


def test_the_tag_of_a_resource_begins_with_its_etag():
    whole = b'{"workspace":{"properties":{"_etag":"mine"},"_etag":"abc-1"}}'
    assert tag_of(whole).startswith("abc-1.")
    assert tag_of(whole) != tag_of(whole.replace(b"mine", b"ours"))
    assert "." not in tag_of(b'{"workspace":{"_etag":"\\r\\n"}}')


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
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("host", "kept"), [("tre.example.org", True), ("localhost", False)])
def test_only_a_host_of_our_own_is_kept_to_https(tmp_path, host, kept):
    """Else a browser could not bring a code to a program that waits at http://localhost."""
    settings = load(tmp_path, portal_host=host)
    app = create_app(make_services(), settings, Nobody(), [make_routes()], [])
    with app_client(app) as made:
        answer = made.get("/api/ping")
    assert ("strict-transport-security" in answer.headers) is kept


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
