"""Does a release say what it is, in words that others read, and is every change of it noticed?"""

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from sqlalchemy import update

from carrel.airlock import tables
from carrel.airlock.rules.crate import CrateParts, Scan, crate_of
from carrel.airlock.rules.names import CRATE_NAME, KEY_NAME, PAPERS, SIGNATURE_NAME, name_problem
from carrel.airlock.scanners import standard_scanners
from carrel.airlock.service.publishing import SIGNING, public_pem
from carrel.airlock.verifying import NotAsReleased, fingerprint_of, verify_release
from carrel.cli import main
from carrel.core.errors import InvalidRequest
from tests.airlock import SAFE_TABLE, SMALL_TABLE, Bench, MemoryKeys
from tests.factories import make_database


@pytest.fixture
def bench(tmp_path):
    database = make_database(tmp_path)
    yield Bench(database)
    database.close()


def archive_of(bench, request):
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    return bench.downloaded(bench.author, ticket.token, as_archive=True)


@pytest.fixture
def released(bench):
    """Return a release of a table and a text: the request and its archive."""
    request = bench.in_review("export", table__csv=SMALL_TABLE)
    bench.approve(request)
    bench.run_work()
    return bench.airlock.get(bench.author, request.id), archive_of(bench, request)


@pytest.fixture
def checked(tmp_path):
    """Return what verifies some bytes as an archive."""

    def check(content, key=None):
        path = tmp_path / "release.zip"
        path.write_bytes(content)
        return verify_release(path, key)

    return check


def contents(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(content, change, **more):
    """Return the archive with its files changed by `change`, and others added."""
    files = contents(content)
    change(files)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, each in files.items():
            archive.writestr(zipfile.ZipInfo(name), each)
        for name, each in more.items():
            archive.writestr(zipfile.ZipInfo(name), each)
    return sink.getvalue()


def graph_of(content):
    return {each["@id"]: each for each in json.loads(contents(content)[CRATE_NAME])["@graph"]}


# What the crate says --------------------------------------------------------------------------


def test_a_crate_names_files_people_scanners_policy_and_seal(bench, released):
    request, content = released
    document = json.loads(contents(content)[CRATE_NAME])
    graph = graph_of(content)
    assert document["@context"] == "https://w3id.org/ro/crate/1.2/context"
    assert graph[CRATE_NAME]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    assert graph["./"]["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license"} <= set(graph["./"])
    assert graph["table.csv"]["sha256"] == request.files[0].sha256
    assert graph["table.csv"]["contentSize"] == str(len(SMALL_TABLE))
    assert graph["#seal-hash"]["value"] == request.manifest_sha256
    assert graph["#policy-hash"]["value"] == request.policy_sha256
    assert graph["#carrel"]["provider"] == {"@id": "#tre"}
    assert graph[f"#person-{bench.reviewer.id}"]["name"] == bench.reviewer.name
    assert graph["./"]["author"] == {"@id": f"#person-{bench.author.id}"}
    assert graph["#workspace"]["name"] == bench.policies.display_name(request.workspace_id)


def test_every_action_is_listed_and_everything_that_is_named_is_there(released):
    graph = graph_of(released[1])
    actions = {key for key, each in graph.items() if each["@type"].endswith("Action")}
    assert {each["@id"] for each in graph["./"]["mentions"]} == actions
    kinds = {graph[key]["additionalType"]["@id"].split("#")[1] for key in actions}
    assert kinds == {"CheckValue", "ValidationCheck", "DisclosureCheck", "SignOff",
                     "GenerateCheckValue"}  # fmt: skip

    def named(value):
        if isinstance(value, list):
            return {name for each in value for name in named(each)}
        return {value["@id"]} if isinstance(value, dict) else set()

    referred = {name for each in graph.values() for value in each.values() for name in named(value)}
    assert {name for name in referred if not name.startswith("http")} <= set(graph)


def test_scanners_that_found_nothing_are_named_too_with_version_and_counts(bench, released):
    graph = graph_of(released[1])
    scanners = {each.name: each.version for each in standard_scanners()}
    for name, version in scanners.items():
        assert graph[f"#scan-{quote(name)}-software"]["softwareVersion"] == version
    found = bench.airlock.list_findings(bench.author, released[0].id)
    flags = [each for each in found if each.severity == "flag"]
    scanner = flags[0].scanner
    assert graph[f"#scan-{quote(scanner)}-flag"]["value"] == len(flags)


def test_only_reviews_of_the_seal_that_left_are_named(bench):
    request = bench.in_review("export", table__csv=SMALL_TABLE)
    bench.airlock.return_to_author(bench.reviewer, request.id, "Round it.")
    bench.fill(request, table__csv=SAFE_TABLE)
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    bench.approve(bench.airlock.get(bench.author, request.id))
    bench.run_work()
    graph = graph_of(archive_of(bench, request))
    decisions = [each["value"] for key, each in graph.items() if key.endswith("-decision")]
    assert decisions == ["approved"]
    assert graph["#seal"]["version"] == "2"
    assert graph["#sign-off"]["agent"] == {"@id": f"#person-{bench.reviewer.id}"}


def test_the_same_parts_give_the_same_text(bench, released):
    request, content = released
    at = datetime(2026, 1, 1, tzinfo=UTC)
    parts = CrateParts(
        request=request, record="{}", policy={"b": 1, "a": 2}, sealed_at=at, approved_at=at,
        scans=[Scan("x", "1", at, {"flag": 2})], workspace_name="Study", tre_name="T",
        tre_url="https://localhost", carrel_version="0", public_key="",
    )  # fmt: skip
    assert crate_of(parts) == crate_of(replace(parts, policy={"a": 2, "b": 1}))
    assert archive_of(bench, request) == content


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_no_file_of_a_request_takes_the_place_of_a_paper(name):
    assert "kept" in name_problem(name)
    assert "kept" in name_problem(name.upper())
    assert "kept" in name_problem(f"{name}/inside.csv")
    assert name_problem(f"folder/{name}") == ""


def test_a_file_with_a_kept_name_of_long_ago_does_not_leave(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    with bench.database.write() as connection:
        connection.execute(update(tables.files).values(name=CRATE_NAME))
    bench.approve(request)
    bench.run_work()
    ended = bench.airlock.get(bench.author, request.id)
    assert (ended.status, "kept" in ended.status_message) == ("failed", True)


# Verification ---------------------------------------------------------------------------------


def test_a_release_verifies_without_and_with_the_key_of_the_tre(bench, released, checked):
    request, content = released
    found = checked(content)
    assert (found.request_id, found.files, found.is_key_given) == (request.id, 1, False)
    assert found.manifest_sha256 == request.manifest_sha256
    key = bench.airlock.signing_key().encode()
    given = checked(content, key)
    assert given.is_key_given
    assert given.key_sha256 == fingerprint_of(key)


def test_names_that_addresses_cannot_hold_verify(bench, checked):
    request = bench.draft("export", table__csv=SAFE_TABLE)
    bench.runtime.put_outbox(bench.workspace, "an ü/table 1 #2%.csv", SAFE_TABLE)
    bench.airlock.add_from_outbox(bench.author, request.id, ["an ü/table 1 #2%.csv"])
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    bench.approve(bench.airlock.get(bench.author, request.id))
    bench.run_work()
    content = archive_of(bench, request)
    assert checked(content).files == 2
    assert "an%20%C3%BC/table%201%20%232%25.csv" in graph_of(content)


def flip(name):
    def change(files):
        files[name] = bytes([files[name][0] ^ 1]) + files[name][1:]

    return change


def without(name):
    return lambda files: files.pop(name)


def as_hand_made(files):
    """Change a file, and what the crate says of it, and sign with a key of one's own."""
    own = MemoryKeys(b"x" * 32)
    files[CRATE_NAME] = files[CRATE_NAME].replace(b"My result", b"My wonders")
    files[SIGNATURE_NAME] = own.signing_key(SIGNING).sign(files[CRATE_NAME])
    files[KEY_NAME] = public_pem(own).encode()


TAMPERED = {
    "file changed": (flip("table.csv"), "table.csv is not the file"),
    "crate changed": (lambda f: f.update({CRATE_NAME: f[CRATE_NAME] + b" "}), "was changed"),
    "signature changed": (flip(SIGNATURE_NAME), "was changed"),
    "manifest changed": (
        lambda f: f.update({"carrel-manifest.json": f["carrel-manifest.json"] + b" "}),
        "carrel-manifest.json is not the file",
    ),
    "key broken": (flip(KEY_NAME), "holds no key"),
    "own key and signature": (as_hand_made, "carrel-signing-key.pem is not the file"),
    "file gone": (without("table.csv"), "is not in the archive"),
    "signature gone": (without(SIGNATURE_NAME), "is missing"),
    "file more": (lambda f: f.update({"more.csv": b"x"}), "more.csv is in the archive"),
    "folder more": (lambda f: f.update({"empty/": b""}), "not a plain file"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_whatever_is_changed_is_noticed(released, checked, how):
    change, sentence = TAMPERED[how]
    assert checked(rewritten(released[1], lambda _files: None)).files == 1
    with pytest.raises(NotAsReleased, match=sentence):
        checked(rewritten(released[1], change))


def test_another_key_is_noticed_when_the_right_one_is_given(bench, released, checked):
    key = bench.airlock.signing_key().encode()
    with pytest.raises(NotAsReleased, match="another key"):
        checked(rewritten(released[1], as_hand_made), key)
    with pytest.raises(NotAsReleased, match="another key"):
        checked(released[1], public_pem(MemoryKeys(b"x" * 32)).encode())
    with pytest.raises(InvalidRequest, match="PEM"):
        checked(released[1], b"no key")


def hidden(content):
    comment = io.BytesIO(content)
    with zipfile.ZipFile(comment, "a") as archive:
        archive.comment = b"secret"
    twice = io.BytesIO(content)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as archive:
        archive.writestr(zipfile.ZipInfo("table.csv"), b"secret")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, each in contents(content).items():
            archive.writestr(name, each)
    extra = io.BytesIO()
    with zipfile.ZipFile(extra, "w") as archive:
        for name, each in contents(content).items():
            entry = zipfile.ZipInfo(name)
            entry.extra = b"\xfe\xca\x06\x00secret"
            archive.writestr(entry, each)
    middle = content.index(b"PK\x01\x02")
    return {
        "before": b"#!/bin/sh\n" + content,
        "after": content + b"secret",
        "before the listing": content[:middle] + b"s" * 40 + content[middle:],
        "comment": comment.getvalue(),
        "twice": twice.getvalue(),
        "packed": packed.getvalue(),
        "extra field": extra.getvalue(),
        "no archive": b"nothing",
        "empty archive": b"PK\x05\x06" + b"\0" * 18,
        "cut": content[: len(content) // 2],
    }


def test_nothing_hides_in_the_archive(released, checked):
    for how, content in hidden(released[1]).items():
        with pytest.raises(NotAsReleased):
            pytest.fail(f"{how}: {checked(content)}")


def test_the_command_says_it_in_a_sentence_and_leaves_with_1(bench, released, tmp_path, capsys):
    file, key = tmp_path / "r.zip", tmp_path / "key.pem"
    file.write_bytes(released[1])
    key.write_text(bench.airlock.signing_key())
    assert main.run(["release", "verify", str(file), "--key", str(key), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["intact"], told["keyChecked"]) == (True, True)
    assert main.run(["release", "verify", str(file)]) == 0
    assert "does not say who signed it" in capsys.readouterr().err
    file.write_bytes(rewritten(released[1], flip("table.csv")))
    assert main.run(["release", "verify", str(file)]) == 1
    assert "table.csv is not the file that was released." in capsys.readouterr().err
    assert main.run(["release", "verify", str(file), "--key", str(file)]) == 2
