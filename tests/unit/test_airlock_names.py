"""Which file names may cross, and is the refusal a sentence that helps?"""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrel.airlock.rules.names import clean_name, fold, inbox_folder, name_problem
from carrel.core.errors import InvalidRequest
from carrel.runtime.launcher.names import path_problem

ID = "0b7e6f0a-8c3f-4f3e-9f1c-1f2e3d4c5b6a"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../secret",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "a\nb.csv",
        "a\x00b",
        "a\u202egnp.exe",
        "zero\u200bwidth.csv",
        ".hidden",
        "folder/.hidden",
        "con",
        "NUL.txt",
        "lpt1.csv",
        "ends.with.dot.",
        " leading.csv",
        "trailing.csv ",
        'quote".csv',
        "back\\slash.csv",
        "stream.csv:hidden",
        "x" * 256,
        "é" * 128,
        "a/" * 600 + "b",
        "carrel-manifest.json",
        "CARREL-Manifest.JSON",
        "\ud800.csv",
    ],
)
def test_names_that_could_deceive_are_refused_with_a_sentence(name):
    with pytest.raises(InvalidRequest, match=r"cannot be used: .+\. Rename"):
        clean_name(name)


@pytest.mark.parametrize(
    "name", ["table.csv", "results/2026/table 1.csv", "Überleben.csv", "😀.png", "x" * 251 + ".csv"]
)
def test_ordinary_names_pass(name):
    assert clean_name(name) == name


def test_a_name_is_kept_in_one_form():
    assert clean_name("e\u0301.csv") == "\u00e9.csv"


@pytest.mark.parametrize(
    ("one", "other"),
    [("A.csv", "a.csv"), ("ﬁle.csv", "file.csv"), ("straße", "STRASSE"), ("e\u0301", "É")],
)
def test_names_that_are_one_file_somewhere_fold_together(one, other):
    assert fold(one) == fold(other)


@given(st.text(max_size=60))
def test_what_passes_is_safe_everywhere(name):
    composed = unicodedata.normalize("NFC", name)
    if not name_problem(composed):
        parts = composed.split("/")
        assert not path_problem(composed)
        assert ".." not in parts
        assert not composed.startswith("/")
        assert all(part and part[0] != "." for part in parts)
        assert composed.isprintable()
        assert clean_name(clean_name(composed)) == clean_name(composed)


def test_a_space_that_only_looks_like_one_is_refused():
    assert "cannot be seen" in name_problem("0\N{OGHAM SPACE MARK}0")
    assert not name_problem("a table.csv")


@given(st.text(max_size=80))
def test_an_inbox_folder_is_always_one_safe_name(title):
    folder = inbox_folder(title, ID)
    assert not name_problem(folder)
    assert "/" not in folder
    assert folder.endswith(ID[:8])
