"""Is a file there whole or not at all?"""

import os
import stat
import threading
from pathlib import Path

import pytest

from carrel.core.files import write_first, write_whole


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_with_its_permissions_and_nothing_stays_beside_it(tmp_path):
    path = tmp_path / "key.pem"
    write_whole(path, b"old", mode=0o644)
    write_whole(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_permissions_do_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "ca.pem", b"", mode=0o644)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "ca.pem") == 0o644


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "settings"
    write_whole(path, b"good", mode=0o600)
    with pytest.raises(TypeError):
        write_whole(path, "not bytes", mode=0o600)
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "logins"
    victim.write_text("untouched")
    path.symlink_to(victim)
    write_whole(path, b"secret", mode=0o600)
    assert victim.read_text() == "untouched"
    assert not path.is_symlink()


@pytest.mark.root
def test_an_owner_stays_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "key"
    write_whole(path, b"1", mode=0o600)
    os.chown(path, 4711, 4712)
    write_whole(path, b"2", mode=0o600, keep_owner=True)
    assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712)
    write_whole(path, b"3", mode=0o600)
    assert path.stat().st_uid == 0


def test_of_many_first_writers_one_wins_and_its_content_stays(tmp_path):
    path, results = tmp_path / "master.key", []
    together = threading.Barrier(8)

    def write(number: int) -> None:
        together.wait()
        results.append((write_first(path, b"%d" % number, mode=0o600), number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [number for won, number in results if won]
    assert len(winners) == 1
    assert path.read_bytes() == b"%d" % winners[0]
    assert list(tmp_path.iterdir()) == [path]
