"""Are small counts found wherever a table can show them, and are safe tables left alone?"""

import csv
import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrel.airlock.rules import AirlockPolicy, Severity, verdict_of
from carrel.airlock.rules.cells import Kind, read_cell
from carrel.airlock.rules.disclosure import check_table

POLICY = AirlockPolicy()


def check(text: str, **declared: str):
    return check_table(text.encode(), ",", POLICY, declared)


def flagged(text: str, **declared: str) -> list[tuple[int | None, int | None]]:
    return [
        (found.row, found.column)
        for found in check(text, **declared)
        if found.severity is Severity.FLAG
    ]


def rules(text: str, **declared: str) -> Counter[str]:
    return Counter(found.rule for found in check(text, **declared))


@pytest.mark.parametrize(
    "text",
    [
        "group,n\nold,120\nyoung,85\n",
        "group,n\nold,120\nyoung,[redacted]\n",
        "group,n\nold,120\nyoung,<10\n",
        "group,n\nold,120\nyoung,<=9\n",
        "group,n\nold,120\nyoung,*\n",
        "group,n,hr\nold,120,0.8\nyoung,85,1.2\n",
        "term,coef,p_value\nage,0.031,0.002\nsex,-0.4,0.09\n",
        "group,event rate\nold,3.5\nyoung,2.1\n",
        ",group,n\n0,old,120\n1,young,85\n",
        "group,n (%)\nold,120 (58.5%)\nyoung,85 (41.5%)\n",
        '"group","n"\r\n"old","1,200"\r\n"young","85"\r\n',
    ],
)
def test_a_rounded_and_suppressed_table_passes_without_a_word(text):
    assert check(text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("group,n\nold,120\nyoung,5\n", (3, 2)),
        ("group,patients\nold,120\nyoung,5\n", (3, 2)),
        ("group,number at risk\nold,120\nyoung,5\n", (3, 2)),
        ("group,nEvents\nold,120\nyoung,5.0\n", (3, 2)),
        ("group,whatever\nold,120\nyoung,5\n", (3, 2)),
        ("group,yes,no\nold,120,5\nyoung,85,60\n", (2, 3)),
        ("group,n (%)\nold,120 (96%)\nyoung,5 (4%)\n", (3, 2)),
        ("group,responders\nold,100/120\nyoung,5/60\n", (3, 2)),
        ("group,text\nold,n=120\nyoung,n=5\n", (3, 2)),
        ("group,n\nold,120\nyoung,\N{FULLWIDTH DIGIT FIVE}\n", (3, 2)),
        ("group,n\nold,120\nyoung,<5\n", (3, 2)),
        ("group,n\nold,120\nyoung,≤7\n", (3, 2)),
        ("group,n\nold,120\nyoung,5e0\n", (3, 2)),
        ("group,n\nold,120\nyoung, 5 \n", (3, 2)),
        ("what,a,b\nn,120,5\nmean,4.5,3.25\n", (2, 3)),
        ("group,n\nold,120\nunknown,x\nyoung,5\n", (4, 2)),
        ("\ufeffgroup,n\nold,120\nyoung,5\n", (3, 2)),
    ],
)
def test_a_small_count_is_flagged_at_its_place(text, place):
    assert flagged(text) == [place]


@pytest.mark.parametrize("threshold", [2, 5, 10, 20])
@given(count=st.integers(0, 40))
def test_exactly_the_counts_below_the_threshold_are_flagged(threshold, count):
    found = check_table(
        f"group,n\nold,200\nyoung,{count}\n".encode(), ",", AirlockPolicy(threshold=threshold)
    )
    small = [f for f in found if f.rule == "small_count"]
    assert bool(small) is (0 < count < threshold)
    assert bool([f for f in found if f.rule == "zero_count"]) is (count == 0)


def test_a_zero_is_one_to_check():
    assert rules("group,n\nold,120\nyoung,0\n") == {"zero_count": 1}
    assert verdict_of(check("group,n\nold,120\nyoung,0\n")) is Severity.CHECK
    allowed = AirlockPolicy(zeros_checked=False)
    assert check_table(b"group,n\nold,120\nyoung,0\n", ",", allowed) == []


def test_unrounded_counts_are_one_to_check_per_column():
    assert rules("group,n,events\nold,121,33\nyoung,87,21\n") == {"unrounded": 2}


def test_midpoint_rounding_is_verified_and_shown():
    assert rules("group,n_midpoint6\nold,123\nyoung,3\n") == {"midpoint": 1}
    assert "small_count" in rules("group,n_midpoint6\nold,123\nyoung,4\n")


def test_a_declared_statistic_softens_a_flag_and_never_hides_it():
    text = "group,years\nold,12\nyoung,5\n"
    assert flagged(text) == [(3, 2)]
    found = check(text, years="time")
    assert [(f.rule, f.severity) for f in found if f.row] == [("small_count", Severity.CHECK)]
    assert "declares column 2 as time" in str(found)


def test_a_column_declared_as_a_count_is_one():
    assert flagged("group,size\nold,12.5\nyoung,5\n", size="count") == [(3, 2)]


def test_a_small_whole_number_among_decimals_is_one_to_check():
    text = "group,value\nold,12.5\nyoung,5\n"
    assert rules(text) == {"maybe_small_count": 1}
    assert verdict_of(check(text)) is Severity.CHECK


def test_a_lone_hidden_cell_beside_a_total_is_flagged():
    text = "group,n\nold,123\nyoung,[redacted]\nTotal,131\n"
    assert rules(text)["lone_hidden"] == 1
    assert rules("group,n\nold,125\nyoung,[redacted]\nTotal,130\n") == {}


def test_a_running_number_is_no_count_but_a_renamed_count_is():
    assert check(",n\n0,120\n1,85\n2,90\n") == []
    assert flagged("index,n\n7,120\n3,85\n") != []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "header"),
        (b"group,n\n", "header"),
        (b"group,n\nold,1,2\n", "Row 2 has 3 cells"),
        (b"group,n\nold\n", "Row 2 has 1 cells"),
        (b'group,n\n"old,120\n', "quotes"),
        (b'group,n\n"old"x,120\n', "quotes"),
        ("gruppe,n\nä,120\n".encode("latin-1"), "UTF-8"),
        ("group,n\nold,120\n".encode("utf-16"), "UTF-8"),
        (b"group,n\nold,\x001\n", "control"),
        (b"x" * 200_000 + b",n\n1,2\n", "cannot be read"),
    ],
)
def test_what_cannot_be_read_alike_by_all_cannot_be_told(content, sentence):
    (found,) = check_table(content, ",", POLICY)
    assert found.severity is Severity.CANNOT_TELL
    assert sentence in found.sentence


def test_records_are_flagged_as_records():
    text = "id,n\n" + "a,100\n" * 5001
    assert "many_rows" in rules(text)


def test_formulas_are_pointed_at():
    assert rules("group,n\n=HYPERLINK(1),120\n@cmd,85\n") == {"formula": 2}
    assert rules("term,coef\nage,-0.4\nsex,+1.5\n") == {}


def test_many_findings_are_summed_up_and_stay_a_flag():
    text = "group,n\n" + "a,3\n" * 1000
    found = check(text)
    assert len(found) == 201
    assert found[-1].rule == "more"
    assert verdict_of(found) is Severity.FLAG


def test_sentences_hold_no_content_of_the_file():
    text = "SECRET group,SECRET n\nSECRET old,7\nSECRET young,0\n=SECRET,<3\n"
    found = check(text)
    assert {f.rule for f in found} >= {"small_count", "zero_count", "fine_mark", "formula"}
    assert not [f for f in found if "SECRET" in f.sentence or "7" in f.sentence]


CELLS = st.one_of(
    st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12),
    st.integers(-5, 500).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["", "[redacted]", "<10", "<3", "12 (3%)", "1e99", "1e-99", "1,234", "٣"]),
)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=12))
def test_any_table_is_judged_and_places_lie_inside_it(rows):
    sink = io.StringIO()
    csv.writer(sink).writerows([["a", "n", "c"], *rows])
    for found in check_table(sink.getvalue().encode(), ",", POLICY):
        assert found.row is None or 2 <= found.row <= len(rows) + 1
        assert found.column is None or 1 <= found.column <= 3


@given(st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_rounding_and_suppressing_always_makes_a_count_column_safe(counts):
    lines = [f"g{i},{'[redacted]' if c < 10 else round(c / 5) * 5}" for i, c in enumerate(counts)]
    assert check("group,n\n" + "\n".join(lines) + "\n") == []


@given(st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_every_small_count_is_flagged_whatever_the_column_is_called(counts):
    lines = [f"g{i},{c}" for i, c in enumerate(counts)]
    places = flagged("group,q\n" + "\n".join(lines) + "\n")
    assert places == [(i + 2, 2) for i, c in enumerate(counts) if 0 < c < 10]


@given(st.binary(max_size=300))
def test_any_bytes_get_a_verdict(content):
    check_table(content, "\t", POLICY)


@given(st.text(max_size=30))
def test_any_text_is_some_cell(text):
    assert read_cell(text).kind in Kind


@pytest.mark.parametrize("mark", [";", "|", "\t"])
def test_a_table_with_another_delimiter_is_read_all_the_same(mark):
    text = "group,n\nold,120\nyoung,5\n".replace(",", mark)
    assert flagged(text) == [(3, 2)]
    assert rules(text)["delimiter"] == 1


def test_a_decimal_comma_with_semicolons_does_not_pass():
    assert verdict_of(check("group;mean\nold;1,5\nyoung;2,5\n")) is not Severity.PASS


@pytest.mark.parametrize(
    "cell",
    ["\N{ARABIC-INDIC DIGIT THREE}", "3\N{ZERO WIDTH SPACE}", "'3", "3 patients", "three", "0x3",
     "3 only", "\N{WORD JOINER}3"],
)  # fmt: skip
def test_a_small_count_in_disguise_is_flagged(cell):
    assert flagged(f"group,patients\nold,120\nyoung,{cell}\n") == [(3, 2)]


def test_labels_with_numbers_are_no_counts():
    assert check("stage,group,n\nGrade 3,one,120\nGrade 2,two,85\n") == []
