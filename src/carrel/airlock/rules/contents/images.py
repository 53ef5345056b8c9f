"""Does an image hold nothing but the picture that it shows?"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

from carrel.airlock.rules.formats import suffix
from carrel.airlock.rules.requests import Finding, Severity

PIXELS_LIMIT = 100_000_000
_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def check_picture(name: str, content: bytes) -> Iterator[Finding]:
    """Walk an image part by part, then draw it: what cannot be drawn cannot be reviewed."""
    walked = list(check_image(name, content))
    yield from walked
    if not any(found.severity in {Severity.CANNOT_TELL, Severity.BLOCK} for found in walked):
        yield from _draw(_KINDS[suffix(name)], content)


def _draw(kind: str, content: bytes) -> Iterator[Finding]:
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=[kind]) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > PIXELS_LIMIT:
                yield Finding(
                    "too_large", Severity.CANNOT_TELL, "The image is too large to be examined."
                )
                return
            if getattr(image, "n_frames", 1) > 1:
                yield Finding(
                    "hidden_frames", Severity.FLAG, "The image has frames that are not shown."
                )
            image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        yield _broken()


def check_image(name: str, content: bytes) -> Iterator[Finding]:
    """Walk a PNG or JPEG to its end: whole, nothing after it, no text inside."""
    check = _check_png if suffix(name) == ".png" else _check_jpeg
    try:
        yield from check(content)
    except (IndexError, struct.error):
        yield _broken()


_PNG_DRAWS = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"bKGD", b"pHYs",
     b"sBIT", b"tIME"}
)  # fmt: skip


_MATPLOTLIB = re.compile(rb"Software\x00Matplotlib version[0-9.]{1,12}, https://matplotlib\.org/")


def _harmless(kind: bytes, body: bytes) -> bool:
    """Whether a text chunk is the one that Matplotlib writes into every image."""
    return kind == b"tEXt" and bool(_MATPLOTLIB.fullmatch(body))


def _check_png(content: bytes) -> Iterator[Finding]:
    at, kind = 8, b""
    hidden, header, drawn = False, b"", bytearray()
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + size]
        (claimed,) = struct.unpack_from(">I", content, at + 8 + size)
        if zlib.crc32(content[at + 4 : at + 8 + size]) != claimed:
            yield _broken()
            return
        hidden |= kind not in _PNG_DRAWS and not _harmless(kind, body)
        header = body if kind == b"IHDR" else header
        drawn += body if kind == b"IDAT" else b""
        at += 12 + size
    if hidden:
        yield _hidden_text()
    if at != len(content):
        yield _trailing()
    yield from _check_pixels(header, bytes(drawn))


_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
"""Interlaced passes: first column and row, step of columns and rows. From: PNG, section 8.2."""
PIXEL_BYTES_LIMIT = 512 * 2**20


def _check_pixels(header: bytes, drawn: bytes) -> Iterator[Finding]:
    """Inflate the picture: it must be exactly as long as its size and depth imply."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    bits = depth * _PNG_CHANNELS.get(colour, 4)
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    expected = sum(
        rows * (1 + (columns * bits + 7) // 8)
        for x, y, across, down in passes
        if (columns := max(0, -(-(width - x) // across)))
        and (rows := max(0, -(-(height - y) // down)))
    )
    if expected > PIXEL_BYTES_LIMIT:
        yield Finding("too_large", Severity.CANNOT_TELL, "The image is too large to be examined.")
        return
    inflater = zlib.decompressobj()
    try:
        pixels = len(inflater.decompress(drawn, expected + 1))
    except zlib.error:
        yield _broken()
        return
    if pixels > expected or inflater.unused_data or inflater.unconsumed_tail:
        yield Finding(
            "hidden_bytes", Severity.BLOCK, "The image holds more than the picture that is shown."
        )
    elif pixels < expected or not inflater.eof:
        yield _broken()


_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
JPEG_BYTES_PER_PIXEL = 4
JPEG_SPARE_BYTES = 65_536


def _check_jpeg(content: bytes) -> Iterator[Finding]:
    at, comments, pixels = 2, False, 0
    while content[at + 1] != 0xDA:
        if content[at] != 0xFF:
            yield _broken()
            return
        comments |= content[at + 1] in {0xFE, *range(0xE1, 0xF0)}
        (size,) = struct.unpack_from(">H", content, at + 2)
        if content[at + 1] in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            pixels = height * width
        at += 2 + size
    if comments:
        yield _hidden_text()
    end = content.find(b"\xff\xd9", at)
    if end < 0 or not pixels:
        yield _broken()
    elif end + 2 != len(content):
        yield _trailing()
    elif len(content) > JPEG_BYTES_PER_PIXEL * pixels + JPEG_SPARE_BYTES:
        yield Finding(
            "hidden_bytes",
            Severity.BLOCK,
            "The image has far more bytes than a picture of its size needs.",
        )


def _broken() -> Finding:
    return Finding("unreadable", Severity.CANNOT_TELL, "The image is broken; save it again.")


def _hidden_text() -> Finding:
    return Finding(
        "hidden_text",
        Severity.FLAG,
        "The image holds text or other parts that are not shown; save it without metadata.",
    )


def _trailing() -> Finding:
    return Finding("trailing_bytes", Severity.BLOCK, "There are bytes after the end of the image.")
