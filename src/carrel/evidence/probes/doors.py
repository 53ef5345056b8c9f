"""Which ways out misuse one of the three doors: airlock, package gateway, gateway?"""

from carrel.evidence.rules import Place, Probe
from carrel.packages.rules import MISSES_PER_DAY

_REFUSED = frozenset({"refused"})


def _trap(name: str, number: str, title: str, path: str) -> Probe:
    return Probe(f"outbox-{name}", number, title, "collect", _REFUSED, {"path": path}, Place.OUTBOX)


OUTBOX = (
    _trap("absolute-link", "49", "collect a link to a file outside", "link-absolute"),
    _trap("relative-link", "49", "collect a link with ../", "link-relative"),
    _trap("proc-link", "49", "collect a link to the collector's own environment", "link-proc"),
    _trap("folder-link", "49", "collect a file behind a linked folder", "$through_link"),
    _trap("climbing-path", "49", "collect a path with ../", "$climb"),
    _trap("absolute-path", "49", "collect an absolute path", "$absolute"),
    _trap("pipe", "50", "make the collector hang on a pipe", "pipe"),
    _trap("hard-link", "50", "collect a file that has a second name", "hard"),
    _trap("folder", "50", "collect a folder as a file", "folder"),
    _trap("line-break", "53", "collect a name with a line break", "two\nlines.csv"),
    _trap("hidden-direction", "53", "collect a name that reads backwards", "report\u202efdp.csv"),
    Probe(
        "outbox-bytes",
        "53",
        "list a name that is not text as collectable",
        "list_bytes",
        _REFUSED,
        place=Place.OUTBOX,
    ),
    Probe(
        "outbox-swap",
        "51",
        "swap a file for a link while it is collected",
        "swap",
        _REFUSED,
        place=Place.OUTBOX,
    ),
)

_HEAD = "Host: 127.0.0.1:81\r\nConnection: close\r\n"
_MESSAGE = "carrel-bait-message"


def _request(name: str, number: str, title: str, request: str) -> Probe:
    return Probe(
        f"packages-{name}",
        number,
        title,
        "http_raw",
        _REFUSED,
        {"address": "127.0.0.1", "port": "$packages_port", "request": request},
        Place.PACKAGES,
        seconds=4.0,
    )


PACKAGES = (
    _request(
        "connect",
        "12",
        "open a tunnel with CONNECT",
        "CONNECT 203.0.113.1:443 HTTP/1.1\r\nHost: 203.0.113.1:443\r\n\r\n",
    ),
    _request(
        "absolute-target",
        "12",
        "name another server in the request line",
        f"GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\n{_HEAD}\r\n",
    ),
    _request(
        "upload-post",
        "13",
        "upload with POST",
        f"POST /pypi/simple/ HTTP/1.1\r\n{_HEAD}Content-Length: 4\r\n\r\ndata",
    ),
    _request(
        "upload-put",
        "13",
        "upload with PUT",
        f"PUT /pypi/simple/six/ HTTP/1.1\r\n{_HEAD}Content-Length: 4\r\n\r\ndata",
    ),
    _request(
        "body",
        "14",
        "send a body with GET",
        f"GET /pypi/simple/six/ HTTP/1.1\r\n{_HEAD}Content-Length: 4\r\n\r\ndata",
    ),
    _request(
        "query",
        "14",
        "send a query string",
        f"GET /pypi/simple/six/?q={_MESSAGE} HTTP/1.1\r\n{_HEAD}\r\n",
    ),
    _request(
        "long-path",
        "14",
        "send a very long path",
        f"GET /pypi/simple/{'a' * 2000}/ HTTP/1.1\r\n{_HEAD}\r\n",
    ),
    _request(
        "smuggling",
        "15",
        "send two lengths that disagree",
        f"GET /pypi/simple/six/ HTTP/1.1\r\n{_HEAD}Content-Length: 4\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    _request(
        "other-name",
        "16",
        "use a name that is not canonical to carry a message",
        f"GET /pypi/simple/Carrel_Bait..SECRET/ HTTP/1.1\r\n{_HEAD}\r\n",
    ),
    _request(
        "climbing-path",
        "16",
        "climb out of the store with ../",
        f"GET /pypi/simple/../../../../etc/passwd HTTP/1.1\r\n{_HEAD}\r\n",
    ),
    _request(
        "unpublished-file",
        "16",
        "fetch a file by a digest nobody published",
        f"GET /pypi/files/{'0' * 64}/six-1.0.tar.gz HTTP/1.1\r\n{_HEAD}\r\n",
    ),
    Probe(
        "packages-many-names",
        "16",
        f"carry a long message in {MISSES_PER_DAY + 20} package names that do not exist",
        "upstream_names",
        _REFUSED,
        place=Place.PACKAGES,
    ),
    Probe(
        "packages-headers",
        "17",
        "carry a message upstream in headers",
        "upstream_saw",
        _REFUSED,
        place=Place.PACKAGES,
    ),
)


def _through(name: str, number: str, title: str) -> Probe:
    return Probe(
        f"gateway-{name}", number, title, name.replace("-", "_"), _REFUSED, place=Place.GATEWAY
    )


GATEWAY = (
    _through("nobody", "21", "open a tool without being signed in"),
    _through("forged-cookie", "21", "open a tool with a cookie of one's own making"),
    _through("other-workspace", "21", "open a tool under another workspace's address"),
    _through("other-host", "19", "ask for a tool under a foreign host name"),
    _through("absolute-target", "19", "name another server in the request line"),
    _through("redirect", "20", "send the browser to a foreign host"),
    _through("parent-cookie", "20", "set a cookie for the portal's domain"),
    _through("session-cookie", "20", "read the gateway's own cookie inside"),
    _through("authorization", "20", "read the caller's own credentials inside"),
    _through("cross-site-socket", "21", "open a websocket from a foreign page"),
    _through("attachment", "22", "send a file as an attachment"),
    _through("download-route", "22", "use the tool's download route"),
    _through("beacon", "23", "load an image from a foreign host with a secret in its address"),
    _through("referrer", "23", "tell a foreign host the address of the page"),
    _through("service-worker", "23", "install a service worker in the browser"),
)
