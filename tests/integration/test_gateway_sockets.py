"""Do websockets reach the tool, and close when access ends?"""

import asyncio

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web

from carrel.core.actors import WorkspaceRole, system
from carrel.core.clock import monotonic
from tests.gateway_world import World, in_world


async def echo(request: web.Request) -> web.StreamResponse:
    """A tool that says back what it hears, and what it was asked."""
    if "Upgrade" not in request.headers:
        return web.Response(text="page")
    socket = web.WebSocketResponse(protocols=["v1.kernel"], autoping=False, max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
        elif message.data == "headers":
            await socket.send_json([[name, value] for name, value in request.headers.items()])
        elif message.data == "close":
            await socket.close(code=4001, message=b"done")
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


def connect(world: World, tool, actor=None, *, protocols=(), **headers):
    given = world.headers(tool, actor, Origin=world.origin(tool)) | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return world.client.ws_connect(
        world.url(tool.path + "api/kernels/1/channels?x=1"),
        headers={name: value for name, value in given.items() if value},
        protocols=protocols,
        max_msg_size=0,
        autoping=False,
    )


@in_world
async def test_messages_go_both_ways_unchanged(world):
    tool = await world.tool("rosa", echo)
    rosa, _ = world.sign_in("rosa")
    async with connect(world, tool, rosa, protocols=["v1.kernel", "v2"]) as socket:
        assert socket.protocol == "v1.kernel"
        for text in ("hello", "", "ünïcode", "x" * 5_000_000):
            await socket.send_str(text)
            assert (await socket.receive()).data == text
        for data in (b"\x00\xff", bytes(1_000_000)):
            await socket.send_bytes(data)
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.BINARY, data)
        await socket.ping(b"p")
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.PONG, b"p")


@in_world
async def test_the_reason_of_closing_comes_through(world):
    tool = await world.tool("rosa", echo)
    rosa, _ = world.sign_in("rosa")
    async with connect(world, tool, rosa) as socket:
        await socket.send_str("close")
        message = await socket.receive()
        assert message.type is WSMsgType.CLOSE
        assert (message.data, message.extra) == (4001, "done")


@in_world
async def test_carrels_proofs_do_not_go_inside(world):
    tool = await world.tool("rosa", echo)
    rosa, api = world.sign_in("rosa", kind="api")
    browser, _ = world.sign_in("rosa")
    for actor, headers in ((browser, {}), (None, {"Authorization": f"Bearer {api}"})):
        async with connect(world, tool, actor, **headers) as socket:
            await socket.send_str("headers")
            seen = (await socket.receive()).data
        assert "token tool-token" in seen
        assert api not in seen
        assert "carrel-gateway" not in seen
    del rosa


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://{host}", 403),
        ("https://{host}.evil.example", 403),
    ],
)
def test_a_page_of_another_origin_cannot_open_a_websocket(tmp_path, origin, status):
    @in_world
    async def test(world):
        tool = await world.tool("rosa", echo)
        rosa, _ = world.sign_in("rosa")
        with pytest.raises(WSServerHandshakeError) as caught:
            async with connect(world, tool, rosa, Origin=origin.format(host=world.host(tool))):
                pass
        assert caught.value.status == status

    test(tmp_path)


@in_world
async def test_a_websocket_needs_a_session_and_ones_own_tool(world):
    tool = await world.tool("rosa", echo)
    eve, _ = world.sign_in("eve")
    for actor, status in ((None, 401), (eve, 404)):
        with pytest.raises(WSServerHandshakeError) as caught:
            async with connect(world, tool, actor):
                pass
        assert caught.value.status == status


@in_world
async def test_a_channel_that_the_tool_refuses_is_refused(world):
    async def no(_request):
        raise web.HTTPNotFound

    tool = await world.tool("rosa", no)
    rosa, _ = world.sign_in("rosa")
    with pytest.raises(WSServerHandshakeError) as caught:
        async with connect(world, tool, rosa):
            pass
    assert caught.value.status == 404


ENDINGS = {
    "sign-out": lambda world, rosa, token, tool: world.people.sign_out(token),
    "disabled account": lambda world, rosa, token, tool: world.people.set_active(
        system("test"), rosa.id, active=False
    ),
    "new password": lambda world, rosa, token, tool: world.people.reset_password(
        system("test"), rosa.id, "another pass phrase"
    ),
    "stopped tool": lambda world, rosa, token, tool: (
        world.endpoints.starting.add(tool.resource_id),
        world.bump(),
    ),
    "lost role": lambda world, rosa, token, tool: (
        world.endpoints.tools.pop(tool.resource_id),
        world.people.remove_role(
            system("test"), tool.workspace_id, rosa.id, WorkspaceRole.RESEARCHER
        ),
    ),
    "stricter workspace": lambda world, rosa, token, tool: world.change(
        tool, downloads_allowed=False
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_live_websocket_closes_within_a_second_of_losing_access(tmp_path, ending):
    @in_world
    async def test(world):
        tool = await world.tool("rosa", echo)
        rosa, token = world.sign_in("rosa")
        world.people.assign_role(
            system("test"), tool.workspace_id, rosa.id, WorkspaceRole.RESEARCHER
        )
        async with connect(world, tool, rosa) as socket:
            await socket.send_str("hello")
            await socket.receive()
            began = monotonic()
            ENDINGS[ending](world, rosa, token, tool)
            message = await socket.receive()
            assert message.type is WSMsgType.CLOSE
            assert message.data == 1008
            assert monotonic() - began < 1

    test(tmp_path)


@in_world
async def test_a_websocket_stays_open_while_others_lose_access(world):
    tool, other = await world.tool("rosa", echo), await world.tool("eve", echo)
    rosa, _ = world.sign_in("rosa")
    eve, token = world.sign_in("eve")
    async with connect(world, tool, rosa) as mine, connect(world, other, eve) as theirs:
        world.people.sign_out(token)
        assert (await theirs.receive()).type is WSMsgType.CLOSE
        for number in range(5):
            await mine.send_str(str(number))
            assert (await mine.receive()).data == str(number)
            await asyncio.sleep(0.1)


@in_world
async def test_a_tool_that_dies_closes_the_browsers_side(world):
    tool = await world.tool("rosa", echo)
    rosa, _ = world.sign_in("rosa")
    async with connect(world, tool, rosa) as socket:
        await world.servers[0].cleanup()
        message = await socket.receive()
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED)


@in_world
async def test_a_browser_that_goes_away_closes_the_tools_side(world):
    gone = asyncio.Event()

    async def watching(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _message in socket:
            pass
        gone.set()
        return socket

    tool = await world.tool("rosa", watching)
    rosa, _ = world.sign_in("rosa")
    async with connect(world, tool, rosa) as socket:
        await socket.send_str("hello")
    await asyncio.wait_for(gone.wait(), 5)


@in_world
async def test_messages_are_counted(world):
    tool = await world.tool("rosa", echo)
    rosa, _ = world.sign_in("rosa")
    async with connect(world, tool, rosa) as socket:
        for _ in range(10):
            await socket.send_str("x" * 100)
            await socket.receive()
    rows = {each.direction: each.amount for each in world.gateway._counters.take()}
    assert rows == {"in": 1000, "out": 1000}
