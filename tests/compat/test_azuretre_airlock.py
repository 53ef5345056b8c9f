"""Does the airlock behave to AzureTRE's clients as its own does, links and blobs included?"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.compat.azuretre import Contract
from tests.conftest import one_database

TABLE = b"group,n\nold,120\nyoung,85\n"


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def contract(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Contract]:
    folder: Path = tmp_path_factory.mktemp("airlock")
    with one_database(request.param, folder) as database:
        made = Contract(database, folder)
        yield made
        made.close()


class Story:
    """One request of the researcher, seen as AzureTRE's clients see it."""

    def __init__(self, contract: Contract, kind: str) -> None:
        self.contract = contract
        body = {"type": kind, "title": "Result", "businessJustification": "For a paper"}
        self.made = contract.call("R", "POST", f"{contract.workspace}/requests", json=body)
        self.id = self.made.json()["airlockRequest"]["id"]
        self.path = f"{contract.workspace}/requests/{self.id}"

    def link(self, who: str = "R") -> str:
        answer = self.contract.call(who, "GET", f"{self.path}/link")
        assert answer.status_code == 200, answer.text
        return answer.json()["containerUrl"]

    def blob(self, method: str, link: str, name: str = "", **rest) -> httpx.Response:
        """Speak to a link as Azure's clients do: the name goes between path and query."""
        parts = urlsplit(link)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = parts.path + (f"/{name}" if name else "")
        query |= rest.pop("params", {})
        return self.contract.client.request(method, path, params=query, **rest)

    def act(self, who: str, action: str, body: dict | None = None) -> httpx.Response:
        return self.contract.call(who, "POST", f"{self.path}/{action}", json=body)

    def now(self) -> dict:
        return self.contract.call("R", "GET", self.path).json()["airlockRequest"]

    def in_review(self) -> None:
        answer = self.act("R", "submit")
        assert answer.status_code == 200, answer.text
        self.contract.world.work()
        assert self.now()["status"] == "in_review"

    def approve(self) -> None:
        answer = self.act("M", "review", {"approval": "True", "decisionExplanation": "Safe"})
        assert answer.status_code == 200, answer.text
        self.contract.world.work()
        assert self.now()["status"] == "approved"


def uploaded(contract: Contract) -> Story:
    story = Story(contract, "import")
    answer = story.blob(
        "PUT", story.link(), "table.csv", content=TABLE, headers={"x-ms-blob-type": "BlockBlob"}
    )
    assert answer.status_code == 201, answer.text
    assert {"etag", "last-modified"} <= set(answer.headers)
    return story


def exported(contract: Contract) -> Story:
    story = Story(contract, "export")
    contract.world.runtime.put_outbox(contract.study, "table.csv", TABLE)
    story.act("R", "collect", {"paths": ["table.csv"]})
    return story


def test_a_draft_is_made_with_azuretres_words(contract):
    answer = contract.call("R", "POST", f"{contract.workspace}/requests", json={"type": "import"})
    assert answer.status_code == 201
    made = answer.json()["airlockRequest"]
    assert (made["title"], made["businessJustification"]) == (
        "Airlock Request",
        "Business Justifications",
    )
    assert answer.json()["allowedUserActions"] == ["cancel", "submit"][::-1]
    assert made["status"] == "draft"
    assert made["createdBy"]["id"] == contract.account("R")
    assert made["workspaceId"] == contract.study
    assert (made["files"], made["reviews"], made["reviewUserResources"]) == ([], [], {})
    assert {"_etag", "resourceVersion", "createdWhen", "updatedWhen", "history"} <= set(made)


def test_an_import_goes_the_way_of_azuretres_own_suite(contract):
    story = uploaded(contract)
    draft = story.link()
    story.in_review()
    assert story.now()["files"][0]["name"] == "table.csv"
    assert contract.call("M", "GET", story.path).json()["allowedUserActions"] == ["review"]
    story.approve()
    (review,) = story.now()["reviews"]
    assert review["reviewDecision"] == "approved"
    assert review["reviewer"]["id"] == contract.account("M")
    assert review["namedManifest"] is False
    assert story.link().startswith("https://")
    gone = story.blob("GET", draft, params={"restype": "container", "comp": "list"})
    assert (gone.status_code, gone.headers["x-ms-error-code"]) == (404, "ContainerNotFound")
    revoked = story.act("M", "revoke", {"reason": "A mistake"})
    assert revoked.json()["airlockRequest"]["status"] == "revoked"
    history = [entry["properties"]["previousStatus"] for entry in story.now()["history"]]
    assert history == ["draft", "submitted", "in_review", "approval_in_progress", "approved"]


def test_an_approved_export_is_fetched_with_the_link_alone(contract):
    story = exported(contract)
    refused = story.blob("PUT", story.link(), "other.csv", content=b"x")
    assert refused.status_code == 403  # files of an export come from the outbox
    inside = story.blob("GET", story.link(), "table.csv")
    assert (inside.status_code, inside.headers["x-ms-error-code"]) == (
        403,
        "AuthorizationPermissionMismatch",
    )
    story.in_review()
    assert story.blob("GET", story.link("M"), "table.csv").status_code == 403
    story.approve()
    link = story.link()
    listed = story.blob("GET", link, params={"restype": "container", "comp": "list"})
    assert "<Name>table.csv</Name>" in listed.text
    whole = story.blob("GET", link, "table.csv")
    assert whole.content == TABLE
    assert whole.headers["content-disposition"] == "attachment"
    part = story.blob("GET", link, "table.csv", headers={"x-ms-range": "bytes=6-9"})
    assert (part.status_code, part.content) == (206, TABLE[6:10])
    assert part.headers["content-range"] == f"bytes 6-9/{len(TABLE)}"
    beyond = story.blob("GET", link, "table.csv", headers={"range": "bytes=900-"})
    assert (beyond.status_code, beyond.headers["x-ms-error-code"]) == (416, "InvalidRange")
    head = story.blob("HEAD", link, "table.csv")
    assert head.headers["content-length"] == str(len(TABLE))
    assert contract.call("O", "GET", f"{story.path}/link").status_code == 200
    assert contract.call("M", "GET", f"{story.path}/link").status_code == 403
    story.act("M", "revoke", {"reason": "A mistake"})
    assert story.blob("GET", link, "table.csv").status_code == 404
    assert contract.call("R", "GET", f"{story.path}/link").status_code == 400


def test_a_large_file_comes_in_blocks(contract):
    story = Story(contract, "import")
    link, pieces = story.link(), {"QQ==": b"a" * 70_000, "Qg==": b"b" * 30_000}
    for block, content in pieces.items():
        query = {"comp": "block", "blockid": block}
        assert story.blob("PUT", link, "big.bin", content=content, params=query).status_code == 201
    assert story.now()["files"] == []
    joined = "<BlockList><Latest>QQ==</Latest><Latest>Qg==</Latest></BlockList>"
    answer = story.blob("PUT", link, "big.bin", content=joined, params={"comp": "blocklist"})
    assert answer.status_code == 201, answer.text
    (file,) = story.now()["files"]
    whole = b"".join(pieces.values())
    assert (file["size"], file["sha256"]) == (len(whole), hashlib.sha256(whole).hexdigest())
    again = story.blob("PUT", link, "big.bin", content=joined, params={"comp": "blocklist"})
    assert again.status_code == 400  # the blocks are used up


def test_a_link_is_its_persons_and_ends_when_it_is_withdrawn(contract):
    story = uploaded(contract)
    link, other = story.link(), Story(contract, "import")
    elsewhere = other.blob("GET", link.replace(story.id, other.id), params={"comp": "list"})
    assert elsewhere.status_code == 403
    forged = story.blob("GET", link, params={"sig": "x" * 43, "comp": "list"})
    assert (forged.status_code, forged.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")
    assert contract.call("R", "DELETE", f"{story.path}/link").status_code == 204
    assert story.blob("GET", link, params={"comp": "list"}).status_code == 403
    link = story.link()
    contract.wait(2 * 3600)
    assert story.blob("PUT", link, "late.csv", content=b"x").status_code == 403


@pytest.mark.parametrize("name", ["../escape.csv", ".hidden", "carrel-manifest.json", "a%00b.csv"])
def test_a_blob_cannot_have_a_name_that_may_not_cross(contract, name):
    story = uploaded(contract)
    refused = story.blob("PUT", story.link(), name, content=b"x")
    assert refused.status_code in {400, 404, 405}
    assert [file["name"] for file in story.now()["files"]] == ["table.csv"]


def test_nothing_is_overwritten_after_the_submission(contract):
    story = uploaded(contract)
    link = story.link()
    kept = story.blob("PUT", link, "table.csv", content=b"y", headers={"if-none-match": "*"})
    assert (kept.status_code, kept.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")
    wrong = story.blob("PUT", link, "table.csv", content=b"y", headers={"content-md5": "AAAA"})
    assert wrong.status_code == 400
    story.in_review()
    for method in ("PUT", "DELETE"):
        assert story.blob(method, link, "table.csv", content=b"z").status_code == 404
    assert story.now()["files"][0]["sha256"] == hashlib.sha256(TABLE).hexdigest()


def test_an_illegal_move_is_400_in_azuretres_words(contract):
    story = uploaded(contract)
    refused = story.act("M", "review", {"approval": True, "decisionExplanation": "x"})
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("Airlock request status change was illegal")
    assert story.act("R", "cancel").json()["airlockRequest"]["status"] == "cancelled"
    assert story.act("R", "cancel").status_code == 400
    assert contract.call("R", "GET", f"{story.path}/link").status_code == 400


def test_nobody_reviews_their_own_request_though_azuretre_lets_them(contract):
    story = uploaded(contract)
    story.in_review()
    assert (
        story.act("R", "review", {"approval": True, "decisionExplanation": "x"}).status_code == 403
    )


def test_requests_is_a_bare_list_of_mine_or_of_what_i_manage(contract):
    story = uploaded(contract)
    mine = contract.call("U", "GET", "/requests").json()
    assert isinstance(mine, list)
    assert story.id in {request["id"] for request in mine}
    assert {request["createdBy"]["id"] for request in mine} == {contract.account("R")}
    assert contract.call("U", "GET", "/requests", params={"airlock_manager": "true"}).json() == []


def test_a_workspaces_requests_are_filtered_and_sorted(contract):
    uploaded(contract)
    path = f"{contract.workspace}/requests"
    for query in (
        {"type": "import"},
        {"status": "draft"},
        {"creator_user_id": contract.account("R")},
    ):
        found = contract.call("M", "GET", path, params=query).json()["airlockRequests"]
        assert found
        assert all("allowedUserActions" in each for each in found)
    query = {"order_by": "createdWhen", "order_ascending": "true"}
    times = [
        each["airlockRequest"]["createdWhen"]
        for each in contract.call("M", "GET", path, params=query).json()["airlockRequests"]
    ]
    assert times == sorted(times)
    strange = contract.call("M", "GET", path, params={"order_by": "id; DROP TABLE x"})
    assert strange.status_code == 422


def test_a_review_resource_needs_its_configuration(contract):
    story = uploaded(contract)
    early = story.act("M", "review-user-resource")
    assert early.status_code == 400
    story.in_review()
    refused = story.act("M", "review-user-resource")
    assert refused.status_code == 422
    assert "airlock_review_config" in refused.json()["detail"]
