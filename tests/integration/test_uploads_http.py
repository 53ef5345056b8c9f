"""Do the routes of resumable uploads speak tus 1.0, in their refusals too?"""

import base64
import hashlib

import pytest

from carrel.airlock import routes
from carrel.api.assembly import create_app
from carrel.core.ids import new_id
from carrel.core.settings import Settings
from carrel.core.web import Services
from carrel.people.tokens.identity import TreIdentity
from tests.airlock import Bench
from tests.factories import make_database
from tests.web import app_client

CONTENT = b"group,n\nold,120\n"
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


class Signed:
    """Everybody here is the author: sign-in is another room's business."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def authenticate(self, _request):
        return self._bench.author

    def csrf_token(self, _request):
        return "csrf"


@pytest.fixture
def bench(tmp_path):
    database = make_database(tmp_path)
    yield Bench(database)
    database.close()


@pytest.fixture
def http(bench):
    services = Services()
    services.add(bench.airlock, TreIdentity(new_id(), new_id(), "https://localhost"))
    app = create_app(services, Settings(), Signed(bench), [], [routes.router])
    with app_client(app) as client:
        yield client


@pytest.fixture
def base(bench) -> str:
    return f"/api/workspaces/{bench.workspace}/requests/{bench.draft('import').id}/uploads"


def named(name: str, size: int = len(CONTENT)) -> dict[str, str]:
    encoded = base64.b64encode(name.encode()).decode()
    return {**TUS, "Upload-Length": str(size), "Upload-Metadata": f"filename {encoded}"}


def begun(http, base, name: str = "table.csv") -> str:
    answer = http.post(base, headers=named(name))
    assert answer.status_code == 201, answer.text
    assert answer.headers["upload-offset"] == "0"
    return answer.headers["location"]


def digest(content: bytes) -> str:
    return f"sha256 {base64.b64encode(hashlib.sha256(content).digest()).decode()}"


def test_options_tells_what_is_spoken(http, base):
    said = http.options(base)
    assert said.status_code == 204
    assert said.headers["tus-version"] == "1.0.0"
    assert "creation" in said.headers["tus-extension"].split(",")
    assert "sha256" in said.headers["tus-checksum-algorithm"].split(",")
    assert "tus-version" not in http.options(base.removesuffix("/uploads")).headers


def test_a_file_may_come_with_its_creation(http, base, bench):
    made = http.post(base, headers={**named("table.csv"), **PIECE}, content=CONTENT)
    assert made.status_code == 201
    assert made.headers["upload-offset"] == str(len(CONTENT))
    (file,) = bench.airlock.get(bench.author, base.split("/")[-2]).files
    assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_what_does_not_fit_its_checksum_is_told_as_tus_tells_it(http, base):
    place = begun(http, base)
    wrong = {**PIECE, "Upload-Offset": "0", "Upload-Checksum": digest(b"something else")}
    answer = http.patch(place, headers=wrong, content=CONTENT)
    assert answer.status_code == 460
    assert answer.json()["title"] == "Checksum Mismatch"
    assert http.head(place).headers["upload-offset"] == "0"
    right = {**PIECE, "Upload-Offset": "0", "Upload-Checksum": digest(CONTENT)}
    assert http.patch(place, headers=right, content=CONTENT).status_code == 204


def test_another_version_of_tus_is_refused(http, base):
    assert http.post(base, headers={**named("a.csv"), "Tus-Resumable": "0.2.2"}).status_code == 412


def test_a_wrong_offset_is_a_conflict_and_changes_nothing(http, base):
    place = begun(http, base)
    answer = http.patch(place, headers={**PIECE, "Upload-Offset": "3"}, content=CONTENT)
    assert answer.status_code == 409
    assert http.head(place).headers["upload-offset"] == "0"


def test_an_expired_upload_is_gone(http, base, bench):
    place = begun(http, base)
    bench.clock.advance(365 * 86400)
    assert http.head(place).status_code == 410


def test_an_ended_upload_is_not_there_any_more(http, base):
    place = begun(http, base)
    assert http.delete(place, headers=TUS).status_code == 204
    assert http.head(place).status_code == 404


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Upload-Length": "x", "Upload-Metadata": "filename YQ=="}, "Upload-Length"),
        ({"Upload-Length": "-1", "Upload-Metadata": "filename YQ=="}, "Upload-Length"),
        ({"Upload-Length": "1"}, "Upload-Metadata"),
        ({"Upload-Length": "1", "Upload-Metadata": "filename !!"}, "Upload-Metadata"),
        ({"Upload-Length": "1", "Upload-Metadata": "filename /////w=="}, "Upload-Metadata"),
    ],
)
def test_what_is_malformed_is_named(http, base, headers, field):
    answer = http.post(base, headers={**TUS, **headers})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
