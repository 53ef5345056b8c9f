"""Is every spelling of a Python index read right, and the wrong ones refused?"""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrel.packages.ports import IndexReply
from carrel.packages.pypi import HTML, JSON, PLAIN_HTML, PyPI
from carrel.packages.rules import Reason, Refusal

DIGEST = "ab" * 32
ADAPTER = PyPI("https://index.example/simple")


def reply(*entries: dict, **page) -> IndexReply:
    body = orjson.dumps({"meta": {}, "name": "demo", "files": list(entries), **page})
    return IndexReply("https://index.example/simple/demo/", body, JSON)


def entry(filename: str = "demo-1.0-py3-none-any.whl", **changes) -> dict:
    return {
        "filename": filename,
        "url": f"../../files/{filename}#sha256={DIGEST}",
        "hashes": {"sha256": DIGEST},
        **changes,
    }


def files(*entries: dict) -> list:
    return list(ADAPTER.parse_index("demo", reply(*entries)).files)


def test_the_page_of_a_name_lies_below_the_index():
    assert ADAPTER.index_url("demo") == "https://index.example/simple/demo/"


def test_relative_links_start_at_the_page():
    [file] = files(entry())
    assert file.url == "https://index.example/files/demo-1.0-py3-none-any.whl"
    assert (file.name, file.version, file.is_wheel) == ("demo", "1.0", True)


@pytest.mark.parametrize(
    "wrong",
    [
        entry(hashes={}),
        entry(hashes={"md5": "0" * 32}),
        entry(hashes={"sha256": "short"}),
        entry("other-1.0-py3-none-any.whl"),
        entry("demo-1.0.exe"),
        entry("demo.whl"),
        entry("../demo-1.0-py3-none-any.whl"),
        entry("demo-1.0-py3-none any.whl"),
        entry("demo-1.0-py3-none-any.whl\n"),
        entry(url="ftp://index.example/demo-1.0-py3-none-any.whl"),
        entry(url="file:///etc/passwd"),
        entry(url="http://index.example/demo-1.0-py3-none-any.whl"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_left_out(wrong):
    assert files(wrong) == []


def test_an_index_on_plain_http_may_have_files_on_plain_http():
    page = reply(entry(url="http://index.example/demo-1.0-py3-none-any.whl"))
    page = IndexReply("http://index.example/simple/demo/", page.body, JSON)
    assert len(ADAPTER.parse_index("demo", page).files) == 1


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("demo-1.0.tar.gz", "1.0"),
        ("Demo-1.0.zip", "1.0"),
        ("demo-1.0-1-py3-none-any.whl", "1.0"),
        ("demo-1.0rc1-2.tar.bz2", "1.0rc1-2"),
    ],
)
def test_versions_are_read_from_file_names(filename, version):
    [file] = files(entry(filename))
    assert file.version == version
    assert "demo" in ADAPTER.file_projects(filename)


def test_old_source_names_with_dashes_find_their_project():
    page = reply(entry("my-demo-tool-1.0.tar.gz"))
    [file] = ADAPTER.parse_index("my-demo-tool", page).files
    assert file.version == "1.0"
    assert "my-demo-tool" in ADAPTER.file_projects(file.filename)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"files": 1}', b'{"files": [{}]}', b"\xff"])
def test_what_is_no_page_is_refused(body):
    with pytest.raises(Refusal) as refused:
        ADAPTER.parse_index("demo", IndexReply("https://index.example/", body, JSON))
    assert refused.value.reason is Reason.UPSTREAM_AWAY


def test_a_quarantined_project_is_seen():
    page = reply(**{"project-status": {"status": "quarantined"}})
    assert ADAPTER.parse_index("demo", page).is_quarantined


def test_html_with_base_yank_and_metadata_is_read():
    body = f"""<html><head><base href="https://files.example/x/"></head><body>
    <a href="demo-1.0%2Blocal-py3-none-any.whl#sha256={DIGEST}" data-yanked="broken &amp; old"
       data-requires-python="&gt;=3.8" data-dist-info-metadata="sha256={"cd" * 32}">x</a>
    <a href="demo-2.0-py3-none-any.whl#md5=00">no sha256</a> <a>no address</a>
    </body></html>"""
    page = IndexReply("https://index.example/simple/demo/", body.encode(), "text/html")
    [file] = ADAPTER.parse_index("demo", page).files
    assert file.filename == "demo-1.0+local-py3-none-any.whl"
    assert file.url == "https://files.example/x/demo-1.0%2Blocal-py3-none-any.whl"
    assert (file.yanked, file.requires) == ("broken & old", ">=3.8")
    assert file.metadata_digest == "cd" * 32


@pytest.mark.parametrize("format_", [JSON, HTML, PLAIN_HTML])
def test_what_is_rendered_reads_back_the_same(format_):
    before = files(
        entry(yanked="old", **{"core-metadata": {"sha256": "cd" * 32}, "requires-python": ">=3.8"}),
        entry("demo-2.0+x-py3-none-any.whl"),
    )
    page = ADAPTER.render_index("demo", before, format_)
    read = ADAPTER.parse_index(
        "demo", IndexReply("https://inside/pypi/simple/demo/", page.body, page.content_type)
    )
    kept = ("filename", "digest", "version", "requires", "yanked", "metadata_digest")
    for old, new in zip(before, read.files, strict=True):
        assert [getattr(old, name) for name in kept] == [getattr(new, name) for name in kept]


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("", PLAIN_HTML),
        ("*/*", PLAIN_HTML),
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (HTML, HTML),
    ],
)
def test_the_format_follows_the_client(accept, format_):
    assert ADAPTER.content_type(accept) == format_


@given(st.text(max_size=60))
def test_a_hostile_reason_cannot_break_out_of_the_page(text):
    [file] = files(entry(yanked=text or True, **{"requires-python": text}))
    page = ADAPTER.render_index("demo", [file], PLAIN_HTML)
    assert page.body.count(b"<a ") == 1
