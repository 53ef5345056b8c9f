"""Is a file that pretends, hides or is broken noticed?"""

import json
import struct
import zlib

import pytest

from carrel.airlock.rules import Direction, Severity, formats, verdict_of
from carrel.airlock.rules.contents import images, texts


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*extra: bytes, after: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00\x00"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + pixels + chunk(b"IEND", b"") + after


def jpeg(*extra: bytes, after: bytes = b"") -> bytes:
    tables = b"\xff\xe0\x00\x04JF" + b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"
    return b"\xff\xd8" + tables + b"".join(extra) + b"\xff\xda\x00\x02pixels\xff\xd9" + after


def verdict(found) -> tuple[Severity, list[str]]:
    findings = list(found)
    return verdict_of(findings), [finding.rule for finding in findings]


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.csv", b"PK\x03\x04"),
        ("a.csv", b"\x80\x04\x95"),
        ("a.txt", b"\x7fELF"),
        ("a.png", b"%PDF-1.7"),
        ("a.jpg", b"name,n\n"),
        ("a.ipynb", b"SQLite format 3\x00"),
        ("A.CSV", b"\x1f\x8b\x08"),
    ],
)
@pytest.mark.parametrize("direction", Direction)
def test_a_disguised_file_is_quarantined_both_ways(name, head, direction):
    assert verdict(formats.check_head(name, head, direction)) == (Severity.BLOCK, ["disguised"])


def test_a_program_may_be_imported_only_with_a_reason():
    found = formats.check_head("tool.bin", b"\x7fELF", Direction.IMPORT)
    assert verdict(found) == (Severity.FLAG, ["program"])


@pytest.mark.parametrize("name", ["a.exe", "a.pkl", "a.svg", "a.xlsx", "noextension", "a.csv.gz"])
def test_a_type_that_nobody_can_examine_does_not_leave(name):
    found = formats.check_allowed(name, [".csv", ".png"])
    assert verdict(found) == (Severity.CANNOT_TELL, ["unknown_type"])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.png", png(), (Severity.PASS, [])),
        (
            "a.png",
            png(chunk(b"tEXt", b"Software\x00Matplotlib version3.9.2, https://matplotlib.org/")),
            (Severity.PASS, []),
        ),
        ("a.png", png(chunk(b"tEXt", b"Comment\x00patient 17")), (Severity.FLAG, ["hidden_text"])),
        (
            "a.png",
            png(
                chunk(b"tEXt", b"Software\x00Matplotlib version1, https://matplotlib.org/ patient")
            ),
            (Severity.FLAG, ["hidden_text"]),
        ),
        ("a.png", png(after=b"name,n\n"), (Severity.BLOCK, ["trailing_bytes"])),
        ("a.png", png()[:-6], (Severity.CANNOT_TELL, ["unreadable"])),
        ("a.png", png().replace(b"IDAT", b"IDAX"), (Severity.CANNOT_TELL, ["unreadable"])),
        ("a.jpg", jpeg(), (Severity.PASS, [])),
        ("a.jpeg", jpeg(b"\xff\xfe\x00\x06abcd"), (Severity.FLAG, ["hidden_text"])),
        ("a.jpg", jpeg(b"\xff\xe1\x00\x06Exif"), (Severity.FLAG, ["hidden_text"])),
        ("a.jpg", jpeg(after=b"zip"), (Severity.BLOCK, ["trailing_bytes"])),
        ("a.jpg", jpeg()[:-2], (Severity.CANNOT_TELL, ["unreadable"])),
        ("a.jpg", b"\xff\xd8\xff", (Severity.CANNOT_TELL, ["unreadable"])),
    ],
)
def test_an_image_is_walked_to_its_end(name, content, expected):
    assert verdict(images.check_image(name, content)) == expected


def drawn(
    width: int, height: int, pixels: bytes, *, interlace: int = 0, after: bytes = b""
) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlace))
    body = chunk(b"IDAT", zlib.compress(pixels) + after) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (drawn(4, 3, bytes(3 * 13)), (Severity.PASS, [])),
        (drawn(1, 1, bytes(4), interlace=1), (Severity.PASS, [])),
        (drawn(5, 5, bytes(86), interlace=1), (Severity.PASS, [])),
        (drawn(1, 1, bytes(4) + b"P0001,65,1,2\n" * 9000), (Severity.BLOCK, ["hidden_bytes"])),
        (drawn(4, 3, bytes(3 * 13), after=b"P0001,65"), (Severity.BLOCK, ["hidden_bytes"])),
        (drawn(4, 3, bytes(3 * 13 - 1)), (Severity.CANNOT_TELL, ["unreadable"])),
        (drawn(2**20, 2**20, b""), (Severity.CANNOT_TELL, ["too_large"])),
    ],
)
def test_a_picture_holds_exactly_its_pixels(content, expected):
    assert verdict(images.check_image("figure.png", content)) == expected


def test_a_photograph_with_a_file_inside_is_blocked():
    scan = b"\xff\xda\x00\x02" + b"P0001,65,1,2\n" * 9000 + b"\xff\xd9"
    content = jpeg().partition(b"\xff\xda")[0] + scan
    assert verdict(images.check_image("a.jpg", content)) == (Severity.BLOCK, ["hidden_bytes"])


def notebook(**cell: object) -> bytes:
    return json.dumps({"cells": [{"cell_type": "code", "outputs": [], **cell}]}).encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (notebook(), (Severity.CHECK, ["free_text"])),
        (notebook(outputs=[{"text": "3"}]), (Severity.FLAG, ["free_text", "outputs"])),
        (notebook(attachments={"a": 1}), (Severity.FLAG, ["free_text", "attachment"])),
        (b"{}", (Severity.CANNOT_TELL, ["unreadable"])),
        (b'{"cells": [1]}', (Severity.CANNOT_TELL, ["unreadable"])),
        (b"not json", (Severity.CANNOT_TELL, ["unreadable"])),
    ],
)
def test_a_notebook_with_outputs_is_flagged(content, expected):
    assert verdict(texts.check_notebook(content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Ein Befund.", Severity.CHECK),
        ("é".encode("latin-1"), Severity.CANNOT_TELL),
        (b"a\x00b", Severity.CANNOT_TELL),
    ],
)
def test_text_is_read_by_people_and_must_be_text(content, expected):
    assert verdict(texts.check_text(content))[0] is expected
