"""Does the log say what happened and never a secret?"""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from carrel.core import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", out)
    logs.configure("serve")
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_role_time_and_ids(lines: io.StringIO):
    with logs.context(request_id="r1", operation_id=None):
        structlog.get_logger("carrel.x").info("sealed", files=3)
    line = json.loads(lines.getvalue())
    assert line["event"] == "sealed"
    assert (line["role"], line["request_id"], line["files"]) == ("serve", "r1", 3)
    assert line["level"] == "info"
    assert line["at"].endswith("Z")
    assert "operation_id" not in line


def test_foreign_libraries_write_the_same_lines(lines: io.StringIO):
    # not uvicorn's: a server of another test may have closed that logger in this process
    logging.getLogger("aiohttp.access").info('%s "GET %s"', "1.2.3.4", "/enter?ticket=abc123")
    line = json.loads(lines.getvalue())
    assert line["event"] == '1.2.3.4 "GET /enter?ticket=[redacted]"'


@pytest.mark.parametrize("name", ["password", "totp_code", "csrf_token", "Authorization", "cookie"])
def test_fields_with_secret_names_are_hidden(name: str):
    assert logs.redact(None, "info", {name: "hunter2"})[name] == logs.HIDDEN


def test_secrets_are_found_at_any_depth():
    event = logs.redact(None, "info", {"request": {"headers": [{"authorization": "x"}]}})
    assert event["request"]["headers"] == [{"authorization": logs.HIDDEN}]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET /api/releases/Zm9vYmFyYmF6 200", "GET /api/releases/[redacted] 200"),
        ("/enter?ticket=abc&next=/", "/enter?ticket=[redacted]&next=/"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [redacted]"),
        ("__Host-carrel=abcdef; Path=/", "__Host-carrel=[redacted]; Path=/"),
        ("postgresql://carrel:pw@db/x", "postgresql://carrel:[redacted]@db/x"),
        ("nothing secret here", "nothing secret here"),
    ],
)
def test_secrets_inside_text_are_hidden(text: str, kept: str):
    assert logs.clean(text) == kept
