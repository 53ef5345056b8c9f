import itertools
from pathlib import Path

import pytest

from carrel.runtime.launcher.plans import Sandbox
from carrel.runtime.launcher.recipe import View, arguments, command, etc_files

PLAN = Sandbox(
    id="6fa459ea-ee8a-4ca4-894e-db77e160355e",
    workspace_id="6fa459ea-ee8a-4ca4-894e-db77e160355f",
    uid=212_001,
    name="ada",
    command=("start-lab", "--port", "8888"),
    environment=(("PIP_INDEX_URL", "http://packages:8081/simple"), ("PATH", "/mine")),
    image="/opt/carrel/environments/notebooks-0123456789ab",
    mounts=(("/home-of-tre/datasets/trial", "/data/trial"),),
    memory_bytes=2**30,
    cpus=1.0,
    processes=64,
)


def view(**changes) -> View:
    defaults = {
        "files": Path("/state/files"), "etc": Path("/state/etc"), "gid": 211_001,
        "seccomp_fd": 9, "status_fd": 10, "user_namespaces": True,
    }  # fmt: skip
    return View(**{**defaults, **changes})


def has(words: list[str], *sequence: str) -> bool:
    length = len(sequence)
    return any(tuple(words[i : i + length]) == sequence for i in range(len(words)))


def binds(words: list[str]) -> set[tuple[str, str]]:
    return {
        (a, b) for flag, a, b in zip(words, words[1:], words[2:], strict=False) if flag == "--bind"
    }


def test_a_member_may_write_to_three_folders_of_the_workspace_and_no_others():
    assert binds(arguments(PLAN, view())) == {
        ("/state/files/home/212001", "/home/ada"),
        ("/state/files/shared", "/shared"),
        ("/state/files/outbox", "/outbox"),
    }


@pytest.mark.parametrize("user_namespaces", [True, False])
def test_nothing_is_left_out_that_confines(user_namespaces):
    words = arguments(PLAN, view(user_namespaces=user_namespaces))
    for sequence in (
        ("--unshare-ipc",), ("--unshare-pid",), ("--unshare-uts",), ("--new-session",),
        ("--clearenv",), ("--cap-drop", "ALL"), ("--seccomp", "9"),
        ("--ro-bind", "/usr", "/usr"), ("--ro-bind", "/proc/sys", "/proc/sys"),
        ("--tmpfs", "/sys"), ("--remount-ro", "/sys"), ("--remount-ro", "/"),
        ("--ro-bind", "/state/files/inbox", "/inbox"),
        ("--ro-bind", "/home-of-tre/datasets/trial", "/data/trial"),
    ):  # fmt: skip
        assert has(words, *sequence), sequence
    assert ("--disable-userns" in words) == ("--unshare-user" in words) == user_namespaces


def test_nothing_is_in_that_opens():
    words = arguments(PLAN, view())
    for flag in ("--die-with-parent", "--share-net", "--dev-bind", "--cap-add", "--unshare-net"):
        assert flag not in words


def test_every_memory_file_system_has_a_size_or_is_closed():
    words = arguments(PLAN, view())
    for index, word in enumerate(words):
        if word == "--tmpfs":
            target = words[index + 1]
            sized = "--size" in words[max(0, index - 4) : index]
            assert sized or has(words, "--remount-ro", target), target


def test_the_root_is_closed_only_after_everything_is_in_it():
    words = arguments(PLAN, view())
    closing = next(
        i for i, pair in enumerate(itertools.pairwise(words)) if pair == ("--remount-ro", "/")
    )
    assert not {"--bind", "--ro-bind", "--dir", "--symlink", "--tmpfs"} & set(words[closing:])


def test_the_template_may_set_variables_but_the_home_stays_the_member_s():
    words = arguments(PLAN, view())
    assert has(words, "--setenv", "PATH", "/mine")
    assert has(words, "--setenv", "HOME", "/home/ada")
    assert has(words, "--setenv", "CARREL_IMAGE", PLAN.image)


def test_only_a_test_that_breaks_a_protection_gets_less():
    words = arguments(PLAN, view(seccomp_fd=None, proc_sys_read_only=False))
    assert "--seccomp" not in words
    assert "/proc/sys" not in words
    assert "/proc/irq" in words


def test_without_user_namespaces_the_last_step_is_to_become_the_member():
    words = command(PLAN, 211_001, user_namespaces=False)
    assert words[0] == "/usr/bin/setpriv"
    assert has(words, "--reuid", "212001")
    assert has(words, "--regid", "211001")
    for flag in ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"):
        assert flag in words
    assert tuple(words[-3:]) == PLAN.command
    assert command(PLAN, 211_001, user_namespaces=True) == list(PLAN.command)


def test_nobody_else_has_a_name_inside_and_no_resolver_is_asked():
    files = etc_files(PLAN, 211_001, user_namespaces=True)
    assert [line.split(":")[0] for line in files["passwd"].splitlines()] == ["ada", "nobody"]
    assert "ada:x:1000:1000:" in files["passwd"]
    assert "ada:x:212001:211001:" in etc_files(PLAN, 211_001, user_namespaces=False)["passwd"]
    assert "hosts: files\n" in files["nsswitch.conf"]
