"""Does a rebuilt file show the same and hold nothing else?"""

import io
import json
import random

import openpyxl
import pytest
from PIL import Image, PngImagePlugin

from carrel.airlock.rules import Severity, verdict_of
from carrel.airlock.rules.contents.images import check_picture
from carrel.airlock.rules.contents.texts import check_notebook
from carrel.airlock.rules.rebuild import rebuild
from carrel.core.errors import InvalidRequest
from tests.corpus import making


def pixels(content: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size, image.convert("RGB").tobytes()


def test_a_picture_keeps_its_pixels_and_loses_the_rest():
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("Comment", "Ann Smith, 1950")
    old = making.picture(random.Random(1), pnginfo=chunk)
    assert verdict_of(check_picture("a.png", old)) is Severity.FLAG
    [new] = rebuild("a.png", old)
    assert pixels(new.content) == pixels(old)
    assert list(check_picture("a.png", new.content)) == []
    assert b"Ann" not in new.content
    assert "Comment" in new.dropped[0]


def test_a_jpeg_loses_its_exif_and_stays_a_jpeg():
    exif = Image.Exif()
    exif[0x010E] = "Ann Smith"
    old = making.picture(random.Random(2), "JPEG", exif=exif)
    [new] = rebuild("a.jpg", old)
    assert list(check_picture("a.jpg", new.content)) == []
    assert pixels(new.content)[0] == pixels(old)[0]
    assert b"Ann" not in new.content


def test_a_table_is_written_through_the_parser():
    [new] = rebuild("a.csv", b'\xef\xbb\xbf"site","n"\r\n"a, b",120\r\n')
    assert new.content == b'site,n\n"a, b",120\n'
    with pytest.raises(InvalidRequest, match="cannot be read"):
        rebuild("a.csv", b"a,b\n1,2,3\n")


def test_a_notebook_keeps_its_code_and_loses_its_outputs():
    old = making.notebook(random.Random(3), output=True)
    [new] = rebuild("a.ipynb", old)
    assert verdict_of(check_notebook(new.content)) is Severity.CHECK
    assert json.loads(new.content)["cells"][0]["source"].startswith("x = ")
    assert b"Ann" not in new.content


def test_a_workbook_becomes_the_tables_that_it_shows():
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "By site"
    for row in (["site", "n", "secret"], ["a", 120, "x1"], ["hidden", 3, "x2"], ["b", 95, "x3"]):
        sheet.append(row)
    sheet.row_dimensions[3].hidden = True
    sheet.column_dimensions["C"].hidden = True
    book.create_sheet("patients").sheet_state = "veryHidden"
    into = io.BytesIO()
    book.save(into)
    [new] = rebuild("results.xlsx", into.getvalue())
    assert new.name == "results-By site.csv"
    assert new.content == b"site,n\na,120\nb,95\n"


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.csv.gz"])
def test_other_types_cannot_be_rebuilt(name):
    with pytest.raises(InvalidRequest, match="cannot be rebuilt"):
        rebuild(name, b"x")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.ipynb", "a.xlsx"])
def test_what_cannot_be_read_is_told(name):
    with pytest.raises(InvalidRequest, match="Save it again"):
        rebuild(name, b"not what it says")
