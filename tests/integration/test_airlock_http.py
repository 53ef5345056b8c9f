"""Does the airlock answer programs and browsers as promised?"""

import base64
import hashlib
import io
import re
import zipfile
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import event

from carrel.airlock import pages, routes
from carrel.airlock.rules import Status
from carrel.airlock.service import Airlock
from carrel.api.assembly import create_app
from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.ids import new_id
from carrel.core.settings import Settings
from carrel.core.web import Services
from carrel.people.tokens.identity import TreIdentity
from carrel.portal.looks import iso
from tests.airlock import SAFE_TABLE, SMALL_TABLE, Bench, person
from tests.factories import make_database
from tests.web import app_client


class ByHeader:
    """Who sends the request stands in its header: sign-in is another room's business."""

    bench: Bench | None = None

    def authenticate(self, request):
        return getattr(self.bench, request.headers.get("x-person", "nobody"), None)

    def csrf_token(self, request):
        return "csrf"


@pytest.fixture(scope="module")
def made_once():
    """The application, without its services: those come with each test."""
    services = Services()
    services.add(TreIdentity(new_id(), new_id(), "https://localhost"))
    faces = [pages.router, routes.blobs.router]
    return create_app(services, Settings(), ByHeader(), faces, [routes.router])


@pytest.fixture
def bench(tmp_path):
    database = make_database(tmp_path)
    yield Bench(database)
    database.close()


@pytest.fixture
def app(bench, made_once):
    made_once.state.services.add(bench.airlock)
    made_once.state.settings = bench.settings
    made_once.state.authenticator.bench = bench
    return made_once


@pytest.fixture
def http(app):
    """Return a client for each person by name."""
    clients: dict[str, httpx.Client] = {}

    def of(name: str) -> httpx.Client:
        if name not in clients:
            clients[name] = app_client(app, headers={"x-person": name})
        return clients[name]

    yield of
    for client in clients.values():
        client.close()


@pytest.fixture
def base(bench) -> str:
    return f"/api/workspaces/{bench.workspace}/requests"


def ok(answer: httpx.Response) -> dict:
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    return answer.json()


def seen(client: httpx.Client, path: str) -> dict:
    return ok(client.get(path))["airlockRequest"]


RESULT = {"type": "export", "title": "Result", "businessJustification": "For a paper"}


# Programs -----------------------------------------------------------------------------------------


def test_the_whole_story_over_http(bench, http, base):
    author, reviewer = http("author"), http("reviewer")
    made = author.post(base, json=RESULT)
    assert made.status_code == 201
    assert made.json()["allowedUserActions"] == ["submit", "cancel"]
    path = f"{base}/{made.json()['airlockRequest']['id']}"
    bench.runtime.put_outbox(bench.workspace, "out/table.csv", SMALL_TABLE)
    listed = ok(author.get(f"/api/workspaces/{bench.workspace}/outbox"))
    assert listed == {"files": [{"path": "out/table.csv", "size": 24, "refused": ""}]}
    ok(author.post(f"{path}/collect", json={"paths": ["out/table.csv"]}))
    ok(author.post(f"{path}/submit"))
    bench.run_work()
    (found,) = [f for f in ok(reviewer.get(f"{path}/findings"))["findings"] if f["row"]]
    assert (found["file"], found["row"], found["column"]) == ("out/table.csv", 3, 2)
    ok(reviewer.post(f"{path}/return", json={"explanation": "Hide the small one"}))
    bench.runtime.put_outbox(bench.workspace, "out/table.csv", SAFE_TABLE)
    ok(author.post(f"{path}/collect", json={"paths": ["out/table.csv"]}))
    ok(author.post(f"{path}/submit"))
    bench.run_work()
    sealed = seen(reviewer, path)
    manifest = reviewer.get(f"{path}/manifest").content
    assert hashlib.sha256(manifest).hexdigest() == sealed["manifestSha256"]
    decision = {
        "approval": True,
        "decisionExplanation": "Safe",
        "manifestSha256": sealed["manifestSha256"],
    }
    assert author.post(f"{path}/review", json=decision).status_code == 403
    ok(reviewer.post(f"{path}/review", json=decision))
    bench.run_work()
    assert seen(author, path)["status"] == "approved"
    ticket = ok(author.post(f"{path}/release"))
    download = author.get(ticket["url"])
    with zipfile.ZipFile(io.BytesIO(download.content)) as archive:
        content = archive.read("out/table.csv")
    assert hashlib.sha256(content).hexdigest() == sealed["files"][0]["sha256"]
    assert download.headers["x-carrel-manifest-sha256"] == sealed["manifestSha256"]
    assert author.get(ticket["url"]).status_code == 409


def test_a_single_file_comes_with_its_digest(bench, http, base):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = ok(http("author").post(f"{base}/{request.id}/release"))
    answer = http("author").get(ticket["url"], params={"archive": "false"})
    digest = base64.b64encode(hashlib.sha256(SAFE_TABLE).digest()).decode()
    assert answer.content == SAFE_TABLE
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["content-length"] == str(len(SAFE_TABLE))


def test_uploads_stream_in_and_can_be_removed(bench, http, base):
    request = bench.draft("import")
    path, author = f"{base}/{request.id}", http("author")
    big = b"0123456789abcdef" * 200_000  # more than a JSON body may have
    answer = author.put(f"{path}/files/data/big.bin", content=big)
    assert answer.status_code == 201
    assert answer.json()["file"] == {
        "name": "data/big.bin",
        "size": len(big),
        "sha256": hashlib.sha256(big).hexdigest(),
        "addedWhen": bench.clock.now().timestamp(),
        "context": {},
    }
    described = author.patch(f"{path}/files/data%2Fbig.bin", json={"text": "A sample"})
    assert ok(described)["file"]["context"] == {"columns": {}, "text": "A sample"}
    assert author.delete(f"{path}/files/data/big.bin").status_code == 204
    assert seen(author, path)["files"] == []
    assert author.delete(f"{path}/files/data/big.bin").status_code == 404
    assert author.put(f"{path}/files/.hidden", content=b"x").status_code == 422
    assert author.put(f"{path}/files/empty.csv", content=b"").status_code == 422


def test_an_address_of_another_workspace_finds_nothing(bench, http, app):
    """AzureTRE reads a request by its id alone; here each lies in its workspace."""
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    everywhere = bench.stranger.workspace_roles | bench.reviewer.workspace_roles
    bench.both = type(bench.stranger)(id="both", name="Both", workspace_roles=everywhere)
    other = next(iter(bench.stranger.workspace_roles))
    wrong, right = (
        f"/api/workspaces/{workspace}/requests/{request.id}"
        for workspace in (other, bench.workspace)
    )
    assert http("both").get(right).status_code == 200
    for who in ("both", "stranger"):
        for method, tail, body in EVERY_ROUTE:
            answer = http(who).request(method, f"{wrong}{tail}", json=body)
            assert answer.status_code == 404, (who, method, tail, answer.text)
            assert http("stranger").request(method, f"{right}{tail}", json=body).status_code == 404
    assert bench.airlock.get(bench.author, request.id).version == request.version


UPLOADED = "/uploads/{upload_id}"
UPLOAD = f"/uploads/{new_id()}"
COMMENT = f"/comments/{new_id()}"
TICKET = f"/tickets/{new_id()}"
EVERY_ROUTE = [
    ("GET", "/tickets", None),
    ("DELETE", TICKET, None),
    ("GET", "/bench", None),
    ("PUT", "/groups/Tables", {"files": ["table.csv"]}),
    ("DELETE", "/groups/Tables", None),
    ("PUT", "/votes", {"file": "table.csv", "vote": "approved"}),
    ("POST", "/comments", {"text": "x"}),
    ("POST", f"{COMMENT}/publish", None),
    ("DELETE", COMMENT, None),
    ("POST", "/submitted-review", {"explanation": "x"}),
    ("POST", "/decide", {"decision": "approve", "explanation": "x"}),
    ("GET", "", None),
    ("PATCH", "", {"title": "t", "businessJustification": "j"}),
    ("POST", "/submit", None),
    ("POST", "/cancel", None),
    ("POST", "/review", {"approval": True, "decisionExplanation": "x", "manifestSha256": "x"}),
    ("POST", "/return", {"explanation": "x"}),
    ("POST", "/revoke", {"reason": "x"}),
    ("GET", "/findings", None),
    ("GET", "/manifest", None),
    ("POST", "/collect", {"paths": ["table.csv"]}),
    ("POST", "/adopt-session", {"folder": "session"}),
    ("GET", "/files/table.csv/content", None),
    ("PUT", "/files/table.csv", None),
    ("PATCH", "/files/table.csv", {}),
    ("DELETE", "/files/table.csv", None),
    ("POST", "/release", None),
    ("GET", "/link", None),
    ("DELETE", "/link", None),
    ("POST", "/review-user-resource", None),
    ("POST", "/uploads", None),
    ("GET", UPLOAD, None),
    ("PATCH", UPLOAD, None),
    ("DELETE", UPLOAD, None),
]


def known(tail: str) -> str:
    return (
        tail.replace(UPLOAD, UPLOADED)
        .replace(COMMENT, "/comments/{comment_id}")
        .replace(TICKET, "/tickets/{ticket_id}")
    )


def test_every_route_of_a_request_is_tried_above(app):
    prefix = "/api/workspaces/{workspace_id}/requests/{request_id}"
    tried = {
        (method, re.sub(r"(?<=/files/)table.csv|(?<=/groups/)Tables", "{name}", known(t)))
        for method, t, _ in EVERY_ROUTE
    }
    offered = {
        (method.upper(), path.removeprefix(prefix))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path.startswith(prefix)
    }
    assert offered == tried


def test_nobody_is_asked_to_sign_in(http, base):
    assert http("nobody").get(base).status_code == 401


def test_a_list_is_filtered(bench, http, base):
    bench.draft("import")
    bench.in_review("export", table__csv=SAFE_TABLE)
    for query, count in (
        ({}, 2),
        ({"type": "export"}, 1),
        ({"status": "draft"}, 1),
        ({"creator_user_id": bench.author.id}, 2),
        ({"creator_user_id": "x"}, 0),
    ):
        found = ok(http("reviewer").get(base, params=query))
        assert len(found["airlockRequests"]) == count
    managed = {"airlock_manager": "true"}
    assert ok(http("reviewer").get("/api/requests")) == []
    assert len(ok(http("reviewer").get("/api/requests", params=managed))) == 2
    assert len(ok(http("author").get("/api/requests"))) == 2
    assert ok(http("author").get("/api/requests", params=managed)) == []
    assert ok(http("stranger").get("/api/requests", params=managed)) == []


def test_content_is_shown_so_that_nothing_of_it_runs(bench, http, base):
    html = b"<script>alert(1)</script>"
    request = bench.in_review("export", note__txt=html)
    answer = http("reviewer").get(f"{base}/{request.id}/files/note.txt/content")
    assert answer.content == html
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert http("author").get(answer.request.url.path).status_code == 403


def test_a_request_that_does_not_say_why_cannot_be_submitted(bench, http, base):
    author = http("author")
    made = ok(author.post(base, json={"type": "export", "title": "Result"}))["airlockRequest"]
    assert made["businessJustification"] == "Business Justifications"  # AzureTRE's: no reason
    bench.runtime.put_outbox(bench.workspace, "table.csv", SAFE_TABLE)
    path = f"{base}/{made['id']}"
    ok(author.post(f"{path}/collect", json={"paths": ["table.csv"]}))
    refused = author.post(f"{path}/submit")
    assert refused.status_code == 422
    assert "Say why these files should cross" in refused.text
    ok(author.patch(path, json={"title": "Result", "businessJustification": "For a paper"}))
    ok(author.post(f"{path}/submit"))


# Browsers -----------------------------------------------------------------------------------------


def rooms(bench, request) -> str:
    return f"/workspaces/{bench.workspace}/airlock" + (f"/{request.id}" if request else "")


def test_a_browser_raises_an_import_with_several_files(bench, http):
    author = http("author")
    assert "drop them here" in author.get(f"{rooms(bench, None)}/new/import").text
    answer = author.post(
        f"{rooms(bench, None)}/new/import",
        data={"title": "Trial data", "justification": "For the study"},
        files=[("files", ("a.csv", b"a\n1\n")), ("files", ("b.csv", b"b\n2\n"))],
    )
    assert answer.status_code == 303
    shown = author.get(answer.headers["location"])
    assert "a.csv" in shown.text
    assert "b.csv" in shown.text
    author.post(f"{answer.headers['location']}/submit")
    bench.run_work()
    assert bench.airlock.list_mine(bench.author)[0].status is Status.IN_REVIEW


def test_a_browser_raises_an_export_from_the_outbox(bench, http):
    bench.runtime.put_outbox(bench.workspace, "table.csv", SAFE_TABLE)
    bench.runtime.put_outbox(bench.workspace, "link", refused="it is a symbolic link")
    author = http("author")
    form = author.get(f"{rooms(bench, None)}/new/export").text
    assert "table.csv" in form
    assert "it is a symbolic link" in form
    answer = author.post(
        f"{rooms(bench, None)}/new/export",
        data={"title": "Table", "justification": "Paper", "paths": ["table.csv"]},
    )
    assert answer.status_code == 303
    (file,) = bench.airlock.list_mine(bench.author)[0].files
    assert file.name == "table.csv"


def test_a_file_says_when_it_was_added(bench, http, base):
    request = bench.draft("import", a__csv=b"x")
    bench.clock.advance(3600)
    bench.fill(request, b__csv=b"y")
    later = bench.clock.now()
    (_, second) = seen(http("author"), f"{base}/{request.id}")["files"]
    assert second["addedWhen"] == later.timestamp()
    assert http("author").get(rooms(bench, request)).text.count(f'datetime="{iso(later)}"') == 1


class Counted:
    """Counts the statements that a database is sent, and the names that it is asked for."""

    def __init__(self, bench) -> None:
        self.statements = 0
        self.names = 0
        self._known = bench.policies
        event.listen(bench.database.engine, "before_cursor_execute", self._sent)

    def _sent(self, *_):
        self.statements += 1

    def policy(self, workspace_id):
        return self._known.policy(workspace_id)

    def display_name(self, workspace_id):
        self.names += 1
        return self._known.display_name(workspace_id)


@pytest.mark.parametrize("address", ["/airlock", "/workspaces/{}/airlock", "/api/requests"])
def test_a_longer_list_takes_no_more_questions_to_the_database(bench, app, http, address):
    counted = Counted(bench)
    app.state.services.add(Airlock(replace(bench.ground, policies=counted)))
    seen = []
    for _ in range(2):
        for _ in range(6):
            bench.draft("import", a__csv=b"x")
        counted.statements = counted.names = 0
        assert http("author").get(address.format(bench.workspace)).is_success
        seen.append((counted.statements, counted.names))
    assert seen[0] == seen[1]
    assert seen[0][1] <= 1


def test_a_form_that_does_not_fit_comes_back_filled_in_with_the_reason(bench, http):
    answer = http("author").post(
        f"{rooms(bench, None)}/new/import", data={"title": "", "justification": "Kept words"}
    )
    assert answer.status_code == 422
    assert "There is a problem" in answer.text
    assert "Kept words" in answer.text
    assert bench.airlock.list_mine(bench.author) == []


def test_a_refused_file_keeps_the_draft_and_says_why(bench, http):
    request = bench.draft("import", a__csv=b"x")
    answer = http("author").post(
        f"{rooms(bench, request)}/files", files=[("files", (".hidden", b"x"))]
    )
    assert answer.status_code == 422
    assert "begins with a dot" in answer.text
    assert "a.csv" in answer.text


def test_a_form_that_is_too_large_is_refused_before_it_is_read(bench, http):
    request = bench.draft("import")
    for path in (f"{rooms(bench, request)}/files", f"{rooms(bench, None)}/new/import"):
        answer = http("author").post(
            path, content=b"begins", headers={"content-length": str(10**11)}
        )
        assert answer.status_code == 422
        assert "Choose fewer" in answer.text


def test_a_reviewer_sees_the_flagged_cell_marked_and_decides(bench, http):
    request = bench.in_review("export", table__csv=SMALL_TABLE)
    reviewer = http("reviewer")
    page = reviewer.get(f"{rooms(bench, request)}/files/table.csv").text
    assert '<td class="flag">3<span class="mark">flag</span></td>' in page
    assert "<td>120</td>" in page
    refused = reviewer.post(
        f"{rooms(bench, request)}/decide",
        data={"decision": "approve", "explanation": "", "seen": request.manifest_sha256},
    )
    assert refused.status_code == 422
    assert "Say why it may cross" in refused.text
    stale = {"decision": "approve", "explanation": "ok", "seen": "0" * 64}
    assert reviewer.post(f"{rooms(bench, request)}/decide", data=stale).status_code == 409
    done = reviewer.post(
        f"{rooms(bench, request)}/decide", data={"decision": "return", "explanation": "Hide it"}
    )
    assert done.status_code == 303
    assert "Hide it" in http("author").get(rooms(bench, request)).text


def test_content_in_a_page_is_escaped(bench, http):
    request = bench.in_review(
        "export", table__csv=b"<b>x,n\n<script>alert(1)</script>,120\n", note__md=b"<img src=x>"
    )
    for name in ("table.csv", "note.md"):
        page = http("reviewer").get(f"{rooms(bench, request)}/files/{name}").text
        assert "<script>alert" not in page
        assert "<img src=x>" not in page


def buttons(page: str) -> set[str]:
    return set(re.findall(r'action="[^"]*/([a-z]+)"', page)) - {"out"}


@pytest.mark.parametrize(
    ("who", "state", "offered"),
    [
        ("author", "draft", {"submit", "cancel", "remove", "files", "amend", "groups", "comments"}),
        ("author", "in_review", {"cancel"}),
        ("author", "approved", {"download"}),
        ("owner", "approved", {"download"}),
        ("colleague", "draft", set()),
        ("colleague", "in_review", set()),
        ("colleague", "approved", set()),
        ("reviewer", "draft", set()),
        ("reviewer", "in_review", {"decide", "comments"}),
        ("reviewer", "approved", {"revoke"}),
    ],
)
def test_a_page_offers_exactly_what_may_be_done(bench, http, who, state, offered):
    request = getattr(bench, state)("export", table__csv=SAFE_TABLE)
    page = http(who).get(rooms(bench, request))
    assert page.status_code == 200
    assert buttons(page.text) - {"sign-out"} == offered


def test_a_page_lets_two_review(bench, http):
    bench.admin = Actor(id=new_id(), name="Ada", tre_roles=frozenset({TreRole.ADMIN}))
    bench.second = person(bench.workspace, WorkspaceRole.AIRLOCK_MANAGER)
    bench.people[bench.second.id] = bench.second
    rules = f"/workspaces/{bench.workspace}/airlock/policy"
    chosen = {
        "version": "0", "reviewers": "2", "blinded": "yes", "service_hours": "48",
        "threshold": "10", "rounding_base": "5", "export_mebibytes": "16", "export_rows": "5000",
        "export_types": ".csv .txt",
    }  # fmt: skip
    assert http("reviewer").post(rules, data=chosen).status_code == 403
    refused = http("admin").post(rules, data={**chosen, "threshold": "many"})
    assert refused.status_code == 422
    assert "Enter a whole number." in refused.text
    assert http("admin").post(rules, data=chosen).status_code == 303
    assert http("admin").post(rules, data=chosen).status_code == 409
    assert "2, blinded" in http("author").get(rules).text
    request = bench.in_review("export", one__csv=SAFE_TABLE, two__csv=SAFE_TABLE)
    page = rooms(bench, request)
    for name in ("reviewer", "second"):
        one = {"file": "one.csv", "vote": "approved", "onward": "two.csv"}
        onward = http(name).post(f"{page}/votes", data=one)
        assert onward.headers["location"] == f"{page}/files/two.csv"
        early = http(name).post(f"{page}/submit-review", data={"seen": request.manifest_sha256})
        assert early.status_code == 422
        two = {"file": "two.csv", "vote": "approved", "onward": ""}
        assert http(name).post(f"{page}/votes", data=two).headers["location"] == page
        assert "decide" in buttons(http(name).get(page).text)  # an early return
        sent = {"review_explanation": "Fine", "seen": request.manifest_sha256}
        assert http(name).post(f"{page}/submit-review", data=sent).status_code == 303
    assert "Reviewers agree" in http("second").get(page).text
    decision = {"decision": "approve", "explanation": "", "seen": request.manifest_sha256}
    assert http("second").post(f"{page}/decide", data=decision).status_code == 303
    bench.run_work()
    assert "Approved" in http("author").get(page).text


def test_a_page_downloads_a_release(bench, http):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    answer = http("author").post(f"{rooms(bench, request)}/download", data={"form": "single"})
    assert answer.content == SAFE_TABLE
    assert "attachment" in answer.headers["content-disposition"]


def test_a_waiting_page_is_told_when_the_request_moved(bench, http):
    request = bench.submitted("export", table__csv=SAFE_TABLE)
    path = f"{rooms(bench, request)}/status"
    same = http("author").get(path, params={"version": request.version})
    assert "hx-refresh" not in same.headers
    bench.run_work()
    moved = http("author").get(path, params={"version": request.version})
    assert moved.headers["hx-refresh"] == "true"


def test_pages_of_another_workspace_are_not_found(bench, http):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    for path in ("", "/files/table.csv", "/status"):
        assert http("stranger").get(f"{rooms(bench, request)}{path}").status_code == 404
    assert http("stranger").get(rooms(bench, None)).status_code == 404
    assert http("stranger").get(f"{rooms(bench, None)}/new/import").status_code == 404
    assert http("author").get(f"{rooms(bench, None)}/new/sideways").status_code == 404
    bench.visitor = person("elsewhere")
    assert "No requests yet" in http("visitor").get("/airlock").text


def test_lists_show_what_waits_for_whom(bench, http):
    bench.in_review("export", table__csv=SAFE_TABLE)
    for path in ("/airlock", rooms(bench, None)):
        assert "Waiting for your review" in http("reviewer").get(path).text
        assert "Raised by you" in http("author").get(path).text
        assert "All requests" in http("colleague").get(path).text
