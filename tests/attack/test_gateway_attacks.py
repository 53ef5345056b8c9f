"""Can anything be smuggled through the gateway, or out of a restricted workspace? (19 to 25)"""

import asyncio
import json

import pytest
from aiohttp import ClientPayloadError, web

from carrel.core.ids import new_id
from carrel.gateway.downloads import LONGEST_SHOWN
from carrel.gateway.volumes import MUCH_BYTES
from tests.gateway_world import World, in_world


class Recorder:
    """A tool that remembers everything it was asked, and answers like Jupyter."""

    def __init__(self, **headers: str) -> None:
        self.asked: list[str] = []
        self.headers = headers

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        await request.read()
        headers = {"Content-Type": "application/json", **self.headers}
        return web.Response(body=b"{}", headers=headers)


async def restricted(world: World, **headers: str):
    recorder = Recorder(**headers)
    tool = await world.tool("rosa", recorder, downloads_allowed=False)
    rosa, _ = world.sign_in("rosa")
    return recorder, tool, rosa


def request_bytes(world, tool, actor, line: str, *more: str, body: str = "") -> bytes:
    lines = [line, f"Host: {world.host(tool)}", f"Cookie: {world.cookie(actor, tool)}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


# Request targets and framing -------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:22{prefix}",
        "//169.254.169.254{prefix}",
        "169.254.169.254:80",
        "*",
        "{prefix}../../{other}/",
        "{prefix}%2e%2e/%2e%2e/{other}/",
        "{prefix}..%2f..%2f{other}/",
        "{prefix}./x",
        "{prefix}a\\..\\b",
        "{prefix}x#y",
        "{prefix}%00",
        "{prefix}\x80",
        "/ws/{other}@169.254.169.254/x",
    ],
)
def test_no_request_target_leads_out_of_the_tool(tmp_path, target):
    @in_world
    async def test(world):
        recorder = Recorder()
        tool = await world.tool("rosa", recorder)
        rosa, _ = world.sign_in("rosa")
        line = target.format(prefix=tool.path, other=new_id())
        raw = request_bytes(world, tool, rosa, f"GET {line} HTTP/1.1", "Connection: close")
        answer = await world.raw(raw)
        assert answer.split()[1] in (b"400", b"404", b"422"), answer[:80]
        assert recorder.asked == []

    test(tmp_path)


@in_world
async def test_control_the_same_recorder_sees_an_honest_request(world):
    recorder = Recorder()
    tool = await world.tool("rosa", recorder)
    rosa, _ = world.sign_in("rosa")
    raw = request_bytes(world, tool, rosa, f"GET {tool.path}x HTTP/1.1", "Connection: close")
    assert (await world.raw(raw)).startswith(b"HTTP/1.1 200")
    assert recorder.asked == [f"GET {tool.path}x"]


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND", "PURGE"])
def test_odd_methods_are_refused(tmp_path, method):
    @in_world
    async def test(world):
        recorder = Recorder()
        tool = await world.tool("rosa", recorder)
        rosa, _ = world.sign_in("rosa")
        raw = request_bytes(
            world, tool, rosa, f"{method} {tool.path} HTTP/1.1", "Connection: close"
        )
        assert b" 200 " not in (await world.raw(raw))[:20]
        assert recorder.asked == []

    test(tmp_path)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Content-Length: 4", "Content-Length: 40"),
        ("Content-Length: +4",),
        ("Content-Length: 4", " folded: x"),
    ],
)
def test_smuggled_requests_do_not_arrive(tmp_path, headers):
    @in_world
    async def test(world):
        recorder = Recorder()
        tool = await world.tool("rosa", recorder)
        rosa, _ = world.sign_in("rosa")
        hidden = f"GET {tool.path}hidden HTTP/1.1\r\nHost: {world.host(tool)}\r\n\r\n"
        raw = request_bytes(
            world,
            tool,
            rosa,
            f"POST {tool.path} HTTP/1.1",
            *headers,
            "Connection: close",
            body=f"0\r\n\r\n{hidden}",
        )
        answer = await world.raw(raw)
        assert answer.split()[1] == b"400", answer[:60]
        assert not any("hidden" in asked for asked in recorder.asked)

    test(tmp_path)


@in_world
async def test_a_pipelined_request_without_proof_gets_nothing(world):
    recorder = Recorder()
    tool = await world.tool("rosa", recorder)
    rosa, _ = world.sign_in("rosa")
    first = request_bytes(world, tool, rosa, f"GET {tool.path}one HTTP/1.1")
    second = f"GET {tool.path}two HTTP/1.1\r\nHost: {world.host(tool)}\r\nConnection: close\r\n\r\n"
    answer = await world.raw(first + second.encode())
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 401") == 1
    assert recorder.asked == [f"GET {tool.path}one"]


# Files out of a restricted workspace -----------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "files/secret.csv",
        "%66iles/secret.csv",
        "%2566iles/secret.csv",
        "FILES/secret.csv",
        "files/secret.csv?download=1",
        "nbconvert/html/n.ipynb",
        "view/secret.csv",
        "directories/home/?archiveFormat=zip",
        "proxy/9999/",
        "api/contents/secret.bin?format=base64",
        "api/contents/secret.bin?type=file&format=base64&content=1",
        "api/contents/secret.bin?format=text&format=base64",
        "api/contents/secret.bin?format=",
        "api/contents/secret.bin?form%61t=base64",
        "api%2Fcontents/secret.bin?format=base64",
    ],
)
def test_whole_files_are_refused(tmp_path, path):
    @in_world
    async def test(world):
        recorder, tool, rosa = await restricted(world)
        raw = request_bytes(
            world, tool, rosa, f"GET {tool.path}{path} HTTP/1.1", "Connection: close"
        )
        answer = await world.raw(raw)
        if "format=" in path and "base64" not in path:
            assert recorder.asked == [f"GET {tool.path}{path}&format=text"]
            return
        assert answer.startswith(b"HTTP/1.1 403"), answer[:60]
        assert recorder.asked == []
        assert "tool.transfer_refused" in world.audited()

    test(tmp_path)


@in_world
async def test_where_downloads_are_allowed_the_same_addresses_work(world):
    recorder = Recorder()
    tool = await world.tool("rosa", recorder)
    rosa, _ = world.sign_in("rosa")
    for path in ("files/open.csv", "api/contents/x.bin?format=base64"):
        raw = request_bytes(
            world, tool, rosa, f"GET {tool.path}{path} HTTP/1.1", "Connection: close"
        )
        assert (await world.raw(raw)).startswith(b"HTTP/1.1 200")
    assert len(recorder.asked) == 2


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("api/contents/n.ipynb?type=notebook&content=1", "&format=text"),
        ("api/contents?content=1", "&format=text"),
        ("api/contents/", "?format=text"),
        ("api/contents/a.py?type=file&format=text&content=1", ""),
        ("lab/tree/n.ipynb", ""),
        ("static/lab/main.js?v=1", ""),
        ("api/kernels", ""),
        ("lab/api/settings", ""),
    ],
)
def test_notebooks_and_text_still_open(tmp_path, path, arrives):
    @in_world
    async def test(world):
        recorder, tool, rosa = await restricted(world)
        raw = request_bytes(
            world, tool, rosa, f"GET {tool.path}{path} HTTP/1.1", "Connection: close"
        )
        assert (await world.raw(raw)).startswith(b"HTTP/1.1 200")
        assert recorder.asked == [f"GET {tool.path}{path}{arrives}"]

    test(tmp_path)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Disposition": "attachment; filename=x"},
        {"Content-Disposition": "Attachment"},
        {"Content-Disposition": "filename=x"},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "text/csv"},
        {"Content-Type": "application/zip"},
        {"Content-Type": "application/pdf"},
        {"Content-Type": ""},
    ],
)
def test_answers_that_a_browser_would_save_are_refused(tmp_path, headers):
    @in_world
    async def test(world):
        _, tool, rosa = await restricted(world, **headers)
        raw = request_bytes(
            world, tool, rosa, f"GET {tool.path}lab/x HTTP/1.1", "Connection: close"
        )
        assert (await world.raw(raw)).startswith(b"HTTP/1.1 403")

    test(tmp_path)


def sends(size_bytes: int, content_type: str = "application/json", *, chunked: bool = False):
    """Return a tool that answers with so many bytes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": content_type}
        if not chunked:
            headers["Content-Length"] = str(size_bytes)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for start in range(0, size_bytes, 2**20):
            await response.write(b" " * min(2**20, size_bytes - start))
        return response

    return answer


async def received(world: World, tool, headers, path: str) -> tuple[int, int]:
    """Return the status, and how many bytes came."""
    size = 0
    async with world.client.get(world.url(tool.path + path), headers=headers) as answer:
        try:
            async for part in answer.content.iter_any():
                size += len(part)
        except ClientPayloadError:
            pass
        return answer.status, size


async def eventually(look) -> None:
    """Wait for what is written after an answer that was cut off."""
    for _ in range(500):
        if look():
            return
        await asyncio.sleep(0.01)
    pytest.fail("It did not happen in time.")


@pytest.mark.parametrize("path", ["api/contents/patients.csv", "lab/extensions/x/data.json"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_whole_file_is_too_large_to_be_shown(tmp_path, path, chunked):
    @in_world
    async def test(world):
        big = sends(LONGEST_SHOWN + 1, chunked=chunked)
        tool = await world.tool("rosa", big, downloads_allowed=False)
        control = await world.tool("rosa", big)
        rosa, _ = world.sign_in("rosa")
        status, size = await received(world, tool, world.headers(tool, rosa), path)
        assert size <= LONGEST_SHOWN
        assert chunked or status == 403
        await eventually(lambda: "tool.transfer_refused" in world.audited())
        status, size = await received(world, control, world.headers(control, rosa), path)
        assert (status, size) == (200, LONGEST_SHOWN + 1)

    test(tmp_path)


@in_world
async def test_a_long_answer_that_may_be_shown_arrives_whole_and_much_of_it_is_noticed(world):
    tool = await world.tool("rosa", sends(LONGEST_SHOWN), downloads_allowed=False)
    rosa, _ = world.sign_in("rosa")
    for _ in range(MUCH_BYTES // LONGEST_SHOWN + 1):
        assert "tool.much_received" not in world.audited()
        answer = await received(world, tool, world.headers(tool, rosa), "api/contents/a.txt")
        assert answer == (200, LONGEST_SHOWN)
        world.gateway.tell_volumes()
    world.gateway.tell_volumes()
    assert world.audited().count("tool.much_received") == 1


@in_world
async def test_a_file_is_never_packed_to_pass_below_the_limit(world):
    asked: list[str] = []

    async def tool_itself(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Accept-Encoding", ""))
        return web.json_response({}, headers={"Content-Encoding": "gzip"})

    tool = await world.tool("rosa", tool_itself, downloads_allowed=False)
    rosa, _ = world.sign_in("rosa")
    headers = world.headers(tool, rosa, Accept_Encoding="gzip")
    assert (await received(world, tool, headers, "api/contents/a.txt"))[0] == 403
    assert asked == [""]


@pytest.mark.parametrize("content_type", ["image/png", "text/plain", "text/html"])
def test_an_extension_is_code_and_no_file(tmp_path, content_type):
    @in_world
    async def test(world):
        tool = await world.tool("rosa", sends(10, content_type), downloads_allowed=False)
        rosa, _ = world.sign_in("rosa")
        headers = world.headers(tool, rosa)
        for path in ("lab/extensions/x/data.png", "lab%2Fextensions/x/data.png"):
            assert (await received(world, tool, headers, path))[0] == 403
        assert (await received(world, tool, headers, "lab/x"))[0] == 200

    test(tmp_path)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("api/kernels", 200),
        ("api/kernels/9a1b/interrupt", 200),
        ("api/sessions", 200),
        ("api/status", 200),
        ("api/contents/patients.csv", 403),
        ("api/kernels%2F..%2Fcontents", 422),
        ("api/kernelspecs", 403),
        ("api/terminals", 403),
        ("lab", 403),
        ("", 403),
    ],
)
def test_an_api_token_is_for_kernels_and_sessions_alone(tmp_path, path, status):
    @in_world
    async def test(world):
        recorder, tool, _ = await restricted(world)
        open_tool = await world.tool("rosa", recorder)
        _, token = world.sign_in("rosa", kind="api")
        for each, expected in ((tool, status), (open_tool, 422 if status == 422 else 200)):
            headers = world.headers(each) | {"Authorization": f"Bearer {token}"}
            assert (await received(world, each, headers, path))[0] == expected

    test(tmp_path)


# Files into a restricted workspace -------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ({"type": "file", "format": "base64", "content": "AAAA"}, 403),
        ({"type": "file", "format": "text", "content": "x", "chunk": 1}, 403),
        ({"type": "file", "format": "text", "content": "x"}, 200),
        ({"type": "notebook", "format": "json", "content": {}}, 200),
        ([], 403),
        ("not json", 403),
        ('{"format": "text", "format": "base64"}', 403),
    ],
)
def test_files_are_not_uploaded_but_documents_are_saved(tmp_path, model, status):
    @in_world
    async def test(world):
        recorder, tool, rosa = await restricted(world)
        body = model if isinstance(model, str) else json.dumps(model)
        async with world.client.put(
            world.url(tool.path + "api/contents/x"),
            data=body.encode(),
            headers=world.headers(tool, rosa),
        ) as answer:
            assert answer.status == status
        assert len(recorder.asked) == (status == 200)

    test(tmp_path)
