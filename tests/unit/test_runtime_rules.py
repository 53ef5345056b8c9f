from itertools import chain, combinations

import pytest

from carrel.core.errors import IsolationNotEnforced
from carrel.runtime.launcher.names import is_id, path_problem
from carrel.runtime.ports import NETWORK_NONE, SECCOMP, Check, Level, SelfTest
from carrel.runtime.rules import CONFINES, EVERY_WORD, LIMITED, check_enforced, level_of


@pytest.mark.parametrize(
    "words",
    [
        frozenset(some)
        for some in chain.from_iterable(combinations(sorted(EVERY_WORD), n) for n in range(8))
    ],
    ids=lambda words: "+".join(sorted(words)),
)
def test_the_level_is_decided_by_the_weakest_promise(words):
    missing = EVERY_WORD - words
    expected = Level.A if not missing else Level.C if missing & CONFINES else Level.B
    assert level_of(words) is expected


def test_every_word_either_confines_or_limits():
    assert EVERY_WORD == CONFINES | LIMITED
    assert not CONFINES & LIMITED


def test_what_is_not_enforced_is_refused_with_the_reason_and_the_fix():
    failed = Check(SECCOMP, passed=False, evidence="socket(AF_VSOCK) succeeded; install the filter")
    test = SelfTest(Level.C, [failed, Check(NETWORK_NONE, passed=True, evidence="only lo")])
    with pytest.raises(IsolationNotEnforced, match="socket\\(AF_VSOCK\\) succeeded; install"):
        check_enforced(frozenset({SECCOMP, NETWORK_NONE}), test)
    check_enforced(frozenset({NETWORK_NONE}), test)


def test_an_unknown_promise_is_never_kept():
    everything = SelfTest(Level.A, [Check(w, passed=True, evidence="seen") for w in EVERY_WORD])
    check_enforced(EVERY_WORD, everything)
    with pytest.raises(IsolationNotEnforced, match="magic:yes"):
        check_enforced(frozenset({"magic:yes"}), everything)


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/shadow", "../up", "a/../b", "a//b", "a/", ".", "new\nline", "tab\t", "nul\0",
        "rtl\u202egnp.exe", "zero\u200bwidth", " space", "x" * 256, "/".join("a" * 40), "\udcff",
        "y/" * 600 + "y",
    ],
)  # fmt: skip
def test_a_bad_path_has_a_reason(path):
    assert path_problem(path)


@pytest.mark.parametrize("path", ["a", "a/b.csv", "Größe 2.txt", "数据/表.parquet", ".hidden"])
def test_an_ordinary_path_has_none(path):
    assert path_problem(path) == ""


@pytest.mark.parametrize(
    "text", ["", "..", "x", "0" * 36, "{6fa459ea-ee8a-4ca4-894e-db77e160355e}",
             "6FA459EA-EE8A-4CA4-894E-DB77E160355E", "6fa459eaee8a4ca4894edb77e160355e"]
)  # fmt: skip
def test_only_a_canonical_uuid_is_an_id(text):
    assert not is_id(text)
    assert is_id("6fa459ea-ee8a-4ca4-894e-db77e160355e")
