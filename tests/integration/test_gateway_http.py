"""Does the gateway carry requests to the right tool, and nothing it must not carry?"""

import asyncio
import gzip
import re

import pytest
from aiohttp import web
from yarl import URL

from carrel.core.actors import system
from carrel.core.ids import new_id
from carrel.gateway.rules import COOKIE
from carrel.gateway.tables import door_bytes
from tests.gateway_world import World, in_world


async def mirror(request: web.Request) -> web.Response:
    """A tool that says what it was asked."""
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": (await request.read()).decode("latin-1"),
        }
    )


async def get(world: World, tool, path="", actor=None, **headers):
    given = world.headers(tool, actor, **headers)
    async with world.client.get(
        world.url(tool.path + path), headers=given, allow_redirects=False
    ) as answer:
        await answer.read()
        return answer


# The way in ------------------------------------------------------------------------------------


@in_world
async def test_a_ticket_opens_the_tool_once(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    url = world.entrance.launch(rosa, tool.resource_id)
    assert url.startswith(world.origin(tool) + "/enter?ticket=")
    path = url.removeprefix(world.origin(tool))
    given = {"Host": world.host(tool), "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with world.client.get(world.url(path), headers=given, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == tool.path
        cookie = answer.headers["Set-Cookie"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert re.fullmatch(
        rf"{COOKIE}=\S+; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=\d+", cookie
    )
    assert rosa.session_id in cookie
    given["Cookie"] = cookie.partition(";")[0]
    async with world.client.get(world.url(tool.path), headers=given) as answer:
        assert answer.status == 200
    async with world.client.get(world.url(path), headers=given, allow_redirects=False) as answer:
        assert answer.status == 401
    assert "tool.opened" in world.audited()


@in_world
async def test_an_old_ticket_opens_nothing(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    path = world.entrance.launch(rosa, tool.resource_id).removeprefix(world.origin(tool))
    world.clock.advance(31)
    async with world.client.get(
        world.url(path), headers={"Host": world.host(tool)}, allow_redirects=False
    ) as answer:
        assert answer.status == 401


@in_world
async def test_a_program_comes_in_with_its_api_token_and_a_browser_token_does_not_count(world):
    tool = await world.tool("rosa", mirror)
    _, api = world.sign_in("rosa", kind="api")
    _, browser = world.sign_in("rosa")
    assert (await get(world, tool, Authorization=f"Bearer {api}")).status == 200
    assert (await get(world, tool, Authorization=f"Bearer {browser}")).status == 401
    assert (await get(world, tool, Authorization="Bearer nonsense")).status == 401


@pytest.mark.parametrize("kind", ["api", "browser"])
def test_the_address_of_a_launch_leads_to_the_tool_for_either_kind_of_session(tmp_path, kind):
    @in_world
    async def test(world):
        tool = await world.tool("rosa", mirror)
        rosa, _ = world.sign_in("rosa", kind=kind)
        path = world.entrance.launch(rosa, tool.resource_id).removeprefix(world.origin(tool))
        given = {"Host": world.host(tool)}
        url = world.url(path)
        async with world.client.get(url, headers=given, allow_redirects=False) as answer:
            cookie, location = answer.headers["Set-Cookie"], answer.headers["Location"]
        given["Cookie"] = cookie.partition(";")[0]
        async with world.client.get(world.url(location), headers=given) as answer:
            assert answer.status == 200

    test(tmp_path)


@in_world
async def test_nobody_comes_in_without_a_session(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    assert (await get(world, tool)).status == 401
    for cookie in (
        "",
        "x",
        f"{rosa.session_id}.{'0' * 64}",
        f"{rosa.session_id}.ü".encode().decode("latin-1"),
    ):
        assert (await get(world, tool, Cookie=f"{COOKIE}={cookie}")).status == 401
    twice = f"{world.cookie(rosa, tool)}; {COOKIE}=x"
    assert (await get(world, tool, Cookie=twice)).status == 401


@in_world
async def test_people_get_a_page_and_programs_get_json(world):
    tool = await world.tool("rosa", mirror)
    page = await get(world, tool, Accept="text/html,*/*")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Please sign in" in await page.text()
    program = await get(world, tool)
    assert (await program.json(content_type=None))["code"] == "not_authenticated"
    assert "default-src 'none'" in program.headers["Content-Security-Policy"]


@in_world
async def test_a_tool_that_starts_gets_a_page_that_tries_again(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    world.endpoints.starting.add(tool.resource_id)
    page = await get(world, tool, actor=rosa, Accept="text/html")
    assert page.status == 503
    assert 'http-equiv="refresh"' in await page.text()
    world.endpoints.starting.clear()
    assert (await get(world, tool, actor=rosa)).status == 200


@in_world
async def test_a_tool_where_nobody_listens_is_unavailable(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    world.change(tool, port=20999)
    answer = await get(world, tool, actor=rosa)
    assert answer.status == 503
    assert "Retry-After" in answer.headers


@in_world
async def test_a_tool_of_another_person_or_workspace_does_not_exist(world):
    tool, other = await world.tool("rosa", mirror), await world.tool("eve", mirror)
    rosa, _ = world.sign_in("rosa")
    eve, _ = world.sign_in("eve")
    assert (await get(world, tool, actor=eve)).status == 404
    assert (await get(world, other, actor=eve)).status == 200
    # Rosa's tool below another workspace's prefix, at either origin
    mixed = f"/ws/{other.workspace_id}/{tool.resource_id}/"
    for host_of in (tool, other):
        given = world.headers(host_of) | {"Cookie": world.cookie(rosa, other)}
        async with world.client.get(world.url(mixed), headers=given) as answer:
            assert answer.status == 404
    unknown = f"/ws/{tool.workspace_id}/{new_id()}/"
    async with world.client.get(world.url(unknown), headers=world.headers(tool, rosa)) as answer:
        assert answer.status == 404


@in_world
async def test_the_cookie_of_one_workspace_is_worth_nothing_at_another_one(world):
    tool, other = await world.tool("rosa", mirror), await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    given = world.headers(other) | {"Cookie": world.cookie(rosa, tool)}
    async with world.client.get(world.url(other.path), headers=given) as answer:
        assert answer.status == 401


@in_world
async def test_a_foreign_host_name_leads_nowhere(world):
    tool, other = await world.tool("rosa", mirror), await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    for host in ("evil.example", "127.0.0.1:8444", world.host(other)):
        assert (await get(world, tool, actor=rosa, Host=host)).status == 404


@in_world
async def test_health_is_open_and_everything_else_is_not_found(world):
    async with world.client.get(world.url("/healthz")) as answer:
        assert await answer.text() == "ok"
    for path in ("/", "/ws", "/ws/x/y/", "/enter/", "/favicon.ico", f"/ws/{new_id()}"):
        async with world.client.get(world.url(path)) as answer:
            assert answer.status == 404


@in_world
async def test_the_slash_after_the_tool_is_added(world):
    tool = await world.tool("rosa", mirror)
    given = world.headers(tool)
    async with world.client.get(
        world.url(tool.path[:-1] + "?a=1"), headers=given, allow_redirects=False
    ) as answer:
        assert answer.status == 404 or answer.headers["Location"] == tool.path + "?a=1"


# What is carried -------------------------------------------------------------------------------


@in_world
async def test_method_path_query_and_body_arrive_as_they_were_sent(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    path = "api/caf%C3%A9/a%2Fb//c;d=1?x=%20y&x=2&empty"
    url = world.url(tool.path + path)
    for method, body in [
        ("POST", b"hello"),
        ("PUT", b""),
        ("PATCH", b"x" * 300_000),
        ("DELETE", b""),
    ]:
        async with world.client.request(
            method,
            URL(url, encoded=True),
            data=body,
            headers=world.headers(tool, rosa),
        ) as answer:
            seen = await answer.json()
        assert (seen["method"], seen["path"]) == (method, tool.path + path)
        assert seen["body"] == body.decode()


@in_world
async def test_a_tool_that_wants_no_prefix_sees_none(world):
    tool = await world.tool("rosa", mirror, prefix_style="strip")
    rosa, _ = world.sign_in("rosa")
    seen = await (await get(world, tool, "lab?x=1", rosa)).json()
    assert seen["path"] == "/lab?x=1"
    assert ["X-Forwarded-Prefix", tool.path.rstrip("/")] in seen["headers"]


@in_world
async def test_nothing_of_carrel_and_no_claim_of_identity_goes_inside(world):
    tool = await world.tool("rosa", mirror)
    _, api = world.sign_in("rosa", kind="api")
    browser, _ = world.sign_in("rosa")
    mine = world.cookie(browser, tool)
    seen = await (
        await get(
            world,
            tool,
            Cookie=f"_xsrf=1; {mine}; __Host-carrel=portal; __Secure-Carrel-x=1; theme=dark",
            X_Forwarded_For="6.6.6.6",
            X_Forwarded_Host="evil.example",
            X_WEBAUTH_USER="admin",
            X_Remote_User="admin",
            Remote_User="admin",
            Forwarded="for=6.6.6.6",
            X_Carrel_Role="admin",
            Proxy_Authorization="Basic eA==",
            Connection="keep-alive, X-Secret-Hop",
            X_Secret_Hop="1",
            X_Own="stays",
        )
    ).json()
    sent = {name.lower(): value for name, value in seen["headers"]}
    assert sent["cookie"] == "_xsrf=1; theme=dark"
    assert sent["authorization"] == "token tool-token"
    assert sent["x-forwarded-host"] == sent["host"] == world.host(tool)
    assert sent["x-own"] == "stays"
    for gone in (
        "x-forwarded-for",
        "x-webauth-user",
        "x-remote-user",
        "remote-user",
        "forwarded",
        "x-carrel-role",
        "proxy-authorization",
        "x-secret-hop",
    ):
        assert gone not in sent
    seen = await (await get(world, tool, Authorization=f"Bearer {api}")).json()
    assert api not in str(seen)
    assert browser.session_id not in str(seen)


@in_world
async def test_a_header_with_an_underscore_does_not_go_inside(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    request = (
        f"GET {tool.path} HTTP/1.1\r\nHost: {world.host(tool)}\r\n"
        f"Cookie: {world.cookie(rosa, tool)}\r\n"
        "X_WEBAUTH_USER: admin\r\nConnection: close\r\n\r\n"
    )
    answer = await world.raw(request.encode())
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"WEBAUTH" not in answer


@in_world
async def test_compressed_answers_and_ranges_pass_untouched(world):
    packed = gzip.compress(b"hello" * 1000)

    async def tool_app(request):
        assert request.headers["Accept-Encoding"] == "gzip"
        return web.Response(
            body=packed,
            headers={"Content-Encoding": "gzip", "ETag": '"1"'},
            content_type="text/plain",
        )

    tool = await world.tool("rosa", tool_app)
    rosa, _ = world.sign_in("rosa")
    given = world.headers(tool, rosa, Accept_Encoding="gzip")
    async with world.client.get(world.url(tool.path), headers=given) as answer:
        assert await answer.read() == packed
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["ETag"] == '"1"'


@in_world
async def test_large_answers_stream_in_both_ways(world):
    async def echo(request):
        response = web.StreamResponse()
        await response.prepare(request)
        async for part in request.content.iter_any():
            await response.write(part)
        return response

    tool = await world.tool("rosa", echo)
    rosa, _ = world.sign_in("rosa")
    sent = bytes(range(256)) * 40_000

    async def parts():
        for start in range(0, len(sent), 100_000):
            yield sent[start : start + 100_000]

    async with world.client.post(
        world.url(tool.path), data=parts(), headers=world.headers(tool, rosa)
    ) as answer:
        assert await answer.read() == sent
    async with world.client.head(world.url(tool.path), headers=world.headers(tool, rosa)) as answer:
        assert answer.status == 200


@in_world
async def test_the_first_bytes_come_before_the_last_are_made(world):
    more = asyncio.Event()

    async def slow(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"first")
        await more.wait()
        await response.write(b"last")
        return response

    tool = await world.tool("rosa", slow)
    rosa, _ = world.sign_in("rosa")
    async with world.client.get(world.url(tool.path), headers=world.headers(tool, rosa)) as answer:
        assert await answer.content.readany() == b"first"
        more.set()
        assert await answer.content.read() == b"last"


@in_world
async def test_bytes_are_counted_per_tool(world):
    async def echo(request):
        return web.Response(body=await request.read())

    tool = await world.tool("rosa", echo)
    rosa, _ = world.sign_in("rosa")
    async with world.client.post(
        world.url(tool.path), data=b"x" * 1000, headers=world.headers(tool, rosa)
    ) as answer:
        assert len(await answer.read()) == 1000
    world.gateway._counters.write(world.gateway._counters.take())
    with world.database.read() as connection:
        rows = connection.execute(door_bytes.select()).all()
    assert {(row.resource_id, row.direction, row.bytes) for row in rows} == {
        (tool.resource_id, "in", 1000),
        (tool.resource_id, "out", 1000),
    }


# What comes back -------------------------------------------------------------------------------


@in_world
async def test_a_tools_answer_gets_our_headers_and_loses_its_own_dangerous_ones(world):
    async def careless(_request):
        response = web.Response(
            text="<p>hi",
            content_type="text/html",
            headers={
                "Content-Security-Policy": "default-src *",
                "Content-Security-Policy-Report-Only": "report-uri https://evil.example",
                "Access-Control-Allow-Origin": "*",
                "Refresh": "0;url=https://evil.example",
                "Service-Worker-Allowed": "/",
                "Link": "<https://evil.example>; rel=preload",
                "Report-To": "{}",
                "Referrer-Policy": "unsafe-url",
                "Server": "inside",
                "X-Frame-Options": "ALLOWALL",
                "Clear-Site-Data": '"*"',
            },
        )
        for cookie in (
            "_xsrf=1; Path=/; Domain=carrel.localhost; SameSite=None; HttpOnly",
            f"{COOKIE}=stolen; Path=/; Secure",
            "__Host-carrel=stolen; Path=/; Secure",
            "__Host-other=1; Path=/; Secure",
            "nonsense",
        ):
            response.headers.add("Set-Cookie", cookie)
        return response

    tool = await world.tool("rosa", careless, downloads_allowed=False, clipboard_allowed=False)
    rosa, _ = world.sign_in("rosa")
    answer = await get(world, tool, "", rosa)
    assert answer.headers.getall("Set-Cookie") == [f"_xsrf=1; Path={tool.path}; Secure; HttpOnly"]
    policy = answer.headers.getall("Content-Security-Policy")
    assert len(policy) == 1
    scope = f"{world.origin(tool)}/ws/{tool.workspace_id}/"
    assert f"default-src {scope} " in policy[0]
    assert f"connect-src {scope} wss{scope.removeprefix('https')} " in policy[0]
    assert "allow-downloads" not in policy[0]
    assert "sandbox allow-scripts" in policy[0]
    assert "evil.example" not in str(answer.headers)
    for gone in (
        "Refresh",
        "Access-Control-Allow-Origin",
        "Service-Worker-Allowed",
        "Link",
        "Report-To",
        "X-Frame-Options",
        "Clear-Site-Data",
    ):
        assert gone not in answer.headers
    assert answer.headers["Server"] == "Carrel"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "clipboard-read=()" in answer.headers["Permissions-Policy"]


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        ("lab", "{prefix}lab"),
        ("{prefix}lab?x=1#top", "{prefix}lab?x=1#top"),
        ("http://127.0.0.1:20000{prefix}lab", "{prefix}lab"),
        ("https://{host}{prefix}lab", "{prefix}lab"),
        ("https://evil.example{prefix}", None),
        ("//evil.example{prefix}", None),
        ("/\\evil.example", None),
        ("/ws/other/", None),
        ("/enter?ticket=x", None),
        ("{prefix}../../x", None),
        ("{prefix}%2e%2e/x", None),
        ("javascript:alert(1)", None),
        ("http://[broken", None),
    ],
)
def test_redirects_lead_nowhere_else(tmp_path, location, leads):
    @in_world
    async def test(world):
        async def redirecting(request):
            value = location.format(prefix=tool.path, host=world.host(tool))
            return web.Response(status=302, headers={"Location": value})

        tool = await world.tool("rosa", redirecting)
        rosa, _ = world.sign_in("rosa")
        answer = await get(world, tool, "", rosa)
        if leads is None:
            assert answer.status == 502
            assert "Location" not in answer.headers
        else:
            assert answer.status == 302
            assert answer.headers["Location"] == leads.format(prefix=tool.path)

    test(tmp_path)


@in_world
async def test_a_tool_that_breaks_off_is_an_outside_failure(world):
    async def rude(request):
        request.transport.abort()
        return web.Response()

    tool = await world.tool("rosa", rude)
    rosa, _ = world.sign_in("rosa")
    assert (await get(world, tool, "", rosa)).status == 503


# Access that ends ------------------------------------------------------------------------------


@in_world
async def test_the_decision_is_remembered_but_never_longer_than_the_access(world):
    tool = await world.tool("rosa", mirror)
    rosa, token = world.sign_in("rosa")
    for _ in range(5):
        assert (await get(world, tool, "", rosa)).status == 200
    assert world.endpoints.asked == 1
    world.people.sign_out(token)
    assert (await get(world, tool, "", rosa)).status == 401


@in_world
async def test_a_disabled_account_is_out_at_the_next_request(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    assert (await get(world, tool, "", rosa)).status == 200
    world.people.set_active(system("test"), rosa.id, active=False)
    assert (await get(world, tool, "", rosa)).status == 401


@in_world
async def test_a_long_answer_ends_with_the_access_to_it(world):
    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 1000)
            await asyncio.sleep(0.02)

    tool = await world.tool("rosa", endless)
    rosa, token = world.sign_in("rosa")
    async with world.client.get(world.url(tool.path), headers=world.headers(tool, rosa)) as answer:
        await answer.content.readany()
        world.people.sign_out(token)
        with pytest.raises(Exception, match=r"(?i)payload|reset|disconnect"):
            async with asyncio.timeout(2):
                await answer.content.read()


@in_world
async def test_too_much_at_once_from_one_session_is_refused(world):
    open_ones = 0
    gate = asyncio.Event()

    async def waiting(_request):
        nonlocal open_ones
        open_ones += 1
        await gate.wait()
        return web.Response(text="ok")

    tool = await world.tool("rosa", waiting)
    rosa, _ = world.sign_in("rosa")

    async def ask():
        async with world.client.get(
            world.url(tool.path), headers=world.headers(tool, rosa)
        ) as answer:
            return answer.status

    asking = [asyncio.create_task(ask()) for _ in range(140)]
    first, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert {task.result() for task in first} == {403}
    gate.set()
    statuses = await asyncio.gather(*asking)
    assert 0 < statuses.count(403) < 140
    assert await ask() == 200


# Other places ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "{origin}"}, 200),
        ({"Service_Worker": "script"}, 403),
    ],
)
def test_pages_of_other_places_cannot_use_the_cookie(tmp_path, headers, status):
    @in_world
    async def test(world):
        tool = await world.tool("rosa", mirror)
        rosa, _ = world.sign_in("rosa")
        given = {name: value.format(origin=world.origin(tool)) for name, value in headers.items()}
        assert (await get(world, tool, "", rosa, **given)).status == status

    test(tmp_path)


@in_world
async def test_a_cross_site_form_is_refused_even_as_a_navigation(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    given = world.headers(tool, rosa, Sec_Fetch_Site="same-site", Sec_Fetch_Mode="navigate")
    async with world.client.post(world.url(tool.path), data=b"x", headers=given) as answer:
        assert answer.status == 403


@in_world(gateway_host="gateway.localhost")
async def test_on_a_shared_origin_pages_are_kept_to_their_own_workspace(world):
    tool = await world.tool("rosa", mirror)
    rosa, _ = world.sign_in("rosa")
    cookie = f"{COOKIE}={world.access.cookie_for(rosa.session_id, '*')}"
    answer = await get(world, tool, "", Host="gateway.localhost:8444", Cookie=cookie)
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert f"default-src https://gateway.localhost:8444/ws/{tool.workspace_id}/ " in policy
    assert "sandbox" in policy
    assert "allow-popups" not in policy
    assert "allow-downloads" in policy
