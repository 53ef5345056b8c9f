"""How is each kind of file made, clean and with something planted in it?"""

import bz2
import gzip
import io
import json
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import openpyxl
import pikepdf
from PIL import Image, PngImagePlugin

from carrel.airlock.rules import Direction

EXPORT, IMPORT = Direction.EXPORT, Direction.IMPORT


@dataclass(frozen=True)
class Kind:
    """A kind of file: how it is called, which way it goes, and how one is made."""

    name: str
    suffix: str
    make: Callable[[random.Random], bytes]
    is_planted: bool
    direction: Direction = EXPORT


def table(pick: random.Random) -> bytes:
    rows = [f"site {at},{5 * pick.randint(4, 400)}" for at in range(pick.randint(2, 30))]
    return "\n".join(["site,n", *rows, ""]).encode()


def words(pick: random.Random) -> bytes:
    stock = ["mortality", "fell", "in", "both", "arms", "of", "the", "trial", "after", "a", "year"]
    return (" ".join(pick.choices(stock, k=pick.randint(20, 200))) + ".\n").encode()


def picture(pick: random.Random, kind: str = "PNG", **options: object) -> bytes:
    size = pick.randint(8, 60), pick.randint(8, 60)
    image = Image.new("RGB", size, (pick.randint(0, 255), 40, 90))
    image.putpixel((1, 1), (255, 255, 255))
    into = io.BytesIO()
    image.save(into, kind, **options)
    return into.getvalue()


def notebook(pick: random.Random, *, output: bool = False) -> bytes:
    printed = {"output_type": "stream", "name": "stdout", "text": "Ann, 3"}
    cell = {
        "cell_type": "code", "source": f"x = {pick.randint(1, 99)}", "metadata": {},
        "execution_count": 1,
        "outputs": [printed] if output else [],
    }  # fmt: skip
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    ).encode()


def document(pick: random.Random) -> bytes:
    return json.dumps({"slope": pick.random(), "n": 5 * pick.randint(4, 99)}).encode()


def page(pick: random.Random, more: str = "") -> bytes:
    body = words(pick).decode()
    return f"<!DOCTYPE html><html><body><p>{body}</p>{more}</body></html>".encode()


def workbook(
    pick: random.Random, change: Callable[[openpyxl.Workbook], None] | None = None
) -> bytes:
    book = openpyxl.Workbook()
    book.properties.creator = ""
    sheet = book.active
    for row in range(pick.randint(3, 20)):
        sheet.append([f"site {row}", 5 * pick.randint(4, 99)])
    if change:
        change(book)
    into = io.BytesIO()
    book.save(into)
    return into.getvalue()


def pdf(pick: random.Random, change: Callable[[pikepdf.Pdf], None] | None = None) -> bytes:
    made = pikepdf.new()
    made.add_blank_page(page_size=(pick.randint(200, 600), 400))
    if change:
        change(made)
    into = io.BytesIO()
    made.save(into)
    return into.getvalue()


def with_part(content: bytes, name: str, part: bytes) -> bytes:
    into = io.BytesIO(content)
    with zipfile.ZipFile(into, "a") as archive:
        archive.writestr(name, part)
    return into.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return into.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return into.getvalue()


# Clean --------------------------------------------------------------------------------------------

CLEAN = [
    Kind("table", ".csv", table, is_planted=False),
    Kind("tab-separated table", ".tsv", lambda p: table(p).replace(b",", b"\t"), is_planted=False),
    Kind("text", ".txt", words, is_planted=False),
    Kind("Markdown", ".md", lambda p: b"# Results\n\n" + words(p), is_planted=False),
    Kind("PNG", ".png", picture, is_planted=False),
    Kind("JPEG", ".jpg", lambda p: picture(p, "JPEG"), is_planted=False),
    Kind("notebook", ".ipynb", notebook, is_planted=False),
    Kind("JSON", ".json", document, is_planted=False),
    Kind("page", ".html", page, is_planted=False),
    Kind("workbook", ".xlsx", workbook, is_planted=False),
    Kind("PDF", ".pdf", pdf, is_planted=False),
    Kind("code list, in", ".csv", table, is_planted=False, direction=IMPORT),
    Kind(
        "ZIP, in", ".zip", lambda p: zipped({"a/b.csv": table(p), "c.txt": words(p)}),
        is_planted=False, direction=IMPORT,
    ),
    Kind(
        "tar.gz, in", ".gz", lambda p: gzip.compress(tarred((tarfile.TarInfo("a.csv"), table(p)))),
        is_planted=False, direction=IMPORT,
    ),
]  # fmt: skip


# Planted ------------------------------------------------------------------------------------------


class _Shell:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this would have run",)


def _pickle(protocol: int) -> Callable[[random.Random], bytes]:
    return lambda pick: pickle.dumps([_Shell(), pick.random()], protocol=protocol)


def _very_hidden(book: openpyxl.Workbook) -> None:
    book.create_sheet("patients").sheet_state = "veryHidden"


def _hidden(book: openpyxl.Workbook) -> None:
    book.create_sheet("patients").sheet_state = "hidden"


def _hidden_row(book: openpyxl.Workbook) -> None:
    book.active.row_dimensions[2].hidden = True


def _hidden_column(book: openpyxl.Workbook) -> None:
    book.active.column_dimensions["B"].hidden = True


def _comment(book: openpyxl.Workbook) -> None:
    book.active["A1"].comment = openpyxl.comments.Comment("Ann Smith", "me")


def _author(book: openpyxl.Workbook) -> None:
    book.properties.creator = "Ann Smith"


def _attached(made: pikepdf.Pdf) -> None:
    made.attachments["patients.csv"] = b"name,dob\nAnn,1950\n"


def _script(made: pikepdf.Pdf) -> None:
    made.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")


def _form(made: pikepdf.Pdf) -> None:
    made.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array())


def _text_chunk(pick: random.Random) -> bytes:
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("Comment", f"patient {pick.randint(1, 999)}")
    return picture(pick, pnginfo=chunk)


def _exif(pick: random.Random, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "Ann Smith, 1950"
    return picture(pick, kind, exif=exif)


def _fat_png(pick: random.Random) -> bytes:
    """A picture with more pixels in its stream than its header admits."""
    content = picture(pick)
    at = content.index(b"IDAT") - 4
    (size,) = struct.unpack_from(">I", content, at)
    pixels = zlib.decompress(content[at + 8 : at + 8 + size]) + words(pick)
    body = b"IDAT" + zlib.compress(pixels)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:at] + chunk + content[at + 12 + size :]


def _nested(levels: int) -> bytes:
    content = b"n\n1\n"
    for level in range(levels):
        content = zipped({f"{level}.zip" if level else "a.csv": content})
    return content


def _bomb() -> bytes:
    """42.zip in small: five layers of sixteen zips, each as small as it unpacks large."""
    content = zipped({"zeros": bytes(2**22)})
    return zipped({f"{at}.zip": content for at in range(64)})


def _link(name: str, target: str) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return tarred((entry, b""))


def _zip_link() -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        entry = zipfile.ZipInfo("a.csv")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return into.getvalue()


def _encrypted_zip(pick: random.Random) -> bytes:
    content = bytearray(zipped({"a.csv": table(pick)}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def _safetensors(tensors: int, tail: bytes = b"") -> bytes:
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [tensors], "data_offsets": [0, 4 * tensors]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * tensors) + tail


def _planted(name: str, suffix: str, make: Callable[[random.Random], bytes]) -> Kind:
    return Kind(name, suffix, make, is_planted=True)


def _coming_in(name: str, suffix: str, make: Callable[[random.Random], bytes]) -> Kind:
    return Kind(name, suffix, make, is_planted=True, direction=IMPORT)


PLANTED = [
    *(_planted(f"pickle {at} as table", ".csv", _pickle(at)) for at in range(6)),
    *(_planted(f"pickle {at}", ".pkl", _pickle(at)) for at in (0, 4)),
    _planted("pickle as text", ".txt", _pickle(0)),
    _planted("NumPy array", ".npy", lambda p: b"\x93NUMPY\x01\x00" + words(p)),
    _planted("model without a report", ".safetensors", lambda _: _safetensors(8)),
    _planted("model with a tail", ".safetensors", lambda p: _safetensors(8, words(p))),
    _planted("veryHidden sheet", ".xlsx", lambda p: workbook(p, _very_hidden)),
    _planted("hidden sheet", ".xlsx", lambda p: workbook(p, _hidden)),
    _planted("hidden row", ".xlsx", lambda p: workbook(p, _hidden_row)),
    _planted("hidden column", ".xlsx", lambda p: workbook(p, _hidden_column)),
    _planted("comment in a workbook", ".xlsx", lambda p: workbook(p, _comment)),
    _planted("author of a workbook", ".xlsx", lambda p: workbook(p, _author)),
    _planted("pivot cache", ".xlsx",
             lambda p: with_part(workbook(p), "xl/pivotCache/pivotCacheRecords1.xml", b"<r/>")),
    _planted("macros", ".xlsx", lambda p: with_part(workbook(p), "xl/vbaProject.bin", words(p))),
    _planted("embedded workbook", ".xlsx",
             lambda p: with_part(workbook(p), "xl/embeddings/b.xlsx", workbook(p))),
    _planted("external link", ".xlsx",
             lambda p: with_part(workbook(p), "xl/externalLinks/externalLink1.xml", b"<r/>")),
    _planted("workbook as table", ".csv", workbook),
    _planted("attachment", ".pdf", lambda p: pdf(p, _attached)),
    _planted("script in a PDF", ".pdf", lambda p: pdf(p, _script)),
    _planted("form", ".pdf", lambda p: pdf(p, _form)),
    _planted("bytes after a PDF", ".pdf", lambda p: pdf(p) + words(p)),
    _planted("ZIP after a PDF", ".pdf", lambda p: pdf(p) + zipped({"a.csv": table(p)})),
    _planted("PDF as image", ".png", pdf),
    _planted("PNG text chunk", ".png", _text_chunk),
    _planted("PNG EXIF", ".png", lambda p: _exif(p, "PNG")),
    _planted("JPEG EXIF", ".jpg", lambda p: _exif(p, "JPEG")),
    _planted("JPEG comment", ".jpg", lambda p: picture(p, "JPEG", comment=words(p))),
    _planted("bytes after a PNG", ".png", lambda p: picture(p) + words(p)),
    _planted("bytes after a JPEG", ".jpg", lambda p: picture(p, "JPEG") + words(p)),
    _planted("ZIP after a PNG", ".png", lambda p: picture(p) + zipped({"a.csv": table(p)})),
    _planted("more pixels than shown", ".png", _fat_png),
    _planted("animated PNG", ".png",
             lambda p: picture(p, save_all=True, append_images=[Image.new("RGB", (9, 9))])),
    _planted("half a PNG", ".png", lambda p: picture(p)[:-20]),
    _planted("half a JPEG", ".jpg", lambda p: picture(p, "JPEG")[:-60]),
    _planted("notebook output", ".ipynb", lambda p: notebook(p, output=True)),
    _planted("script in a page", ".html", lambda p: page(p, "<script>var people=[1]</script>")),
    _planted("hidden element", ".html", lambda p: page(p, "<p style='display: none'>Ann</p>")),
    _planted("data in attributes", ".html", lambda p: page(p, "<p data-people='Ann'>x</p>")),
    _planted("embedded image", ".html", lambda p: page(p, "<img src='data:image/png;base64,AA'>")),
    _planted("comment in a page", ".html", lambda p: page(p, "<!-- Ann Smith 1950 -->")),
    _planted("records in JSON", ".json",
             lambda p: json.dumps([{"id": at, "age": p.random()} for at in range(40)]).encode()),
    _planted("small counts", ".csv", lambda p: table(p) + b"site x,3\n"),
    _planted("control characters", ".txt", lambda p: words(p) + b"\x00\x01\x02"),
    _planted("wrong encoding", ".txt", lambda p: "Zürich\n".encode("utf-16")),
    _planted("program", ".txt", lambda p: b"\x7fELF" + words(p)),
    _planted("SVG", ".svg", lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    _planted("Parquet", ".parquet", lambda p: b"PAR1" + words(p) + b"PAR1"),
    _planted("archive", ".zip", lambda p: zipped({"a.csv": table(p)})),
    _coming_in("zip of zips, ten levels", ".zip", lambda _: _nested(10)),
    _coming_in("bomb of zips", ".zip", lambda _: _bomb()),
    _coming_in("gzip bomb", ".gz", lambda _: gzip.compress(bytes(2**27))),
    _coming_in("traversal in a ZIP", ".zip", lambda p: zipped({"../../etc/x": table(p)})),
    _coming_in("absolute name in a ZIP", ".zip", lambda p: zipped({"/etc/x": table(p)})),
    _coming_in("link in a ZIP", ".zip", lambda _: _zip_link()),
    _coming_in("link in a tar", ".tar", lambda _: _link("a.csv", "/etc/passwd")),
    _coming_in("traversal in a tar.bz2", ".bz2",
               lambda p: bz2.compress(tarred((tarfile.TarInfo("../x"), table(p))))),
    _coming_in("encrypted ZIP", ".zip", _encrypted_zip),
    _coming_in("7-Zip", ".7z", lambda p: b"7z\xbc\xaf\x27\x1c" + words(p)),
    _coming_in("half a ZIP", ".zip", lambda p: zipped({"a.csv": table(p)})[:-30]),
    _coming_in("pickle 0, in", ".bin", _pickle(0)),
    _coming_in("pickle 4, in", ".bin", _pickle(4)),
    _coming_in("pickle in a ZIP", ".zip", lambda p: zipped({"m.pt": _pickle(2)(p)})),
    _coming_in("pickle as table, in", ".csv", _pickle(0)),
]  # fmt: skip
