"""Are the front-end files exactly those that were vendored, and is nothing loaded from outside?"""

import hashlib
import re
from pathlib import Path

import pytest

from carrel.portal.frame import SOURCE, make_environment
from carrel.portal.static_files import FOLDER, digest, static_url

VENDOR = FOLDER / "vendor"
LISTED = dict(
    reversed(line.split("  ", 1)) for line in (VENDOR / "SHA256SUMS").read_text().splitlines()
)
TEMPLATES = sorted(
    path
    for path in SOURCE.glob("*/templates/**/*.html")
    if "gateway" not in path.parts  # its pages stand alone, at another origin
)


@pytest.mark.parametrize("name", sorted(LISTED))
def test_a_vendored_file_is_what_was_vendored(name):
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == LISTED[name]


def test_no_vendored_file_is_unlisted_and_each_part_has_its_licence():
    files = [path for path in VENDOR.rglob("*") if path.is_file()]
    present = {path.relative_to(VENDOR).as_posix() for path in files}
    assert present == set(LISTED) | {"SHA256SUMS", "VERSIONS"}
    parts = {re.split(r"[-.]", Path(name).name)[0] for name in LISTED}
    assert {f"{part}.LICENSE" for part in parts} <= present


@pytest.mark.parametrize("name", ["carrel.css", "carrel.js", "early.js", "vendor/nhsuk.css"])
def test_styles_and_scripts_name_only_files_that_are_here(name):
    text = (FOLDER / name).read_text()
    named = re.findall(r"url\(\"?(?!data:)([^\")]+)\"?\)|from \"([^\"]+)\"", text)
    for target in (one or other for one, other in named):
        assert ((FOLDER / name).parent / target).is_file(), target
    assert "nhs.uk/fonts" not in text
    assert "Frutiger" not in text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: "/".join(path.parts[-2:]))
def test_templates_hold_no_inline_script_or_style_and_nothing_foreign(path: Path):
    text = path.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=\"\{\{ static)", text)
    assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_template_compiles(path: Path):
    environment = make_environment()
    environment.get_template(
        str(path.relative_to(next(p for p in path.parents if p.name == "templates")))
    )


def test_addresses_of_static_files_change_with_their_content():
    assert static_url("carrel.css") == f"/static/{digest()}/carrel.css"
    assert re.fullmatch(r"[0-9a-f]{16}", digest())
