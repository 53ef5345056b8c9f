"""Do the TRE's keys stay the same, private and apart?"""

import threading

import pytest

from carrel.core.errors import OutsideFailure
from carrel.core.secrets import KeyRing


def test_the_same_home_gives_the_same_keys_and_another_home_others(tmp_path):
    one, again, other = KeyRing(tmp_path / "a"), KeyRing(tmp_path / "a"), KeyRing(tmp_path / "b")
    assert one.derive("csrf") == again.derive("csrf")
    assert one.derive("csrf") != one.derive("encrypt")
    assert one.derive("csrf") != other.derive("csrf")
    assert len({one.tool_token(*each) for each in (("r1", "a"), ("r2", "a"), ("r1", "b"))}) == 3


def test_only_the_owner_reads_the_key_file(tmp_path):
    KeyRing(tmp_path).derive("csrf")
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["master.key"]
    assert (tmp_path / "secrets" / "master.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_makers_at_the_same_moment_agree(tmp_path):
    made: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: made.append(KeyRing(tmp_path).derive("csrf")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_what_is_encrypted_is_read_only_in_its_context(tmp_path):
    ring = KeyRing(tmp_path)
    sealed = ring.encrypt("secret", context="totp:1")
    assert "secret" not in sealed
    assert ring.encrypt("secret", context="totp:1") != sealed
    assert KeyRing(tmp_path).decrypt(sealed, context="totp:1") == "secret"
    for keys, text, context in [
        (ring, sealed, "totp:2"),
        (KeyRing(tmp_path / "other"), sealed, "totp:1"),
        (ring, sealed[:-4], "totp:1"),
        (ring, "v1.!", "totp:1"),
    ]:
        with pytest.raises(OutsideFailure):
            keys.decrypt(text, context=context)


def test_a_damaged_key_file_is_refused(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "master.key").write_bytes(b"short")
    with pytest.raises(OutsideFailure, match="damaged"):
        KeyRing(tmp_path).derive("csrf")


def test_signatures_are_for_one_purpose(tmp_path):
    ring = KeyRing(tmp_path)
    assert ring.is_signed("csrf", "s1", ring.sign("csrf", "s1"))
    assert not ring.is_signed("csrf", "s2", ring.sign("csrf", "s1"))
    assert not ring.is_signed("other", "s1", ring.sign("csrf", "s1"))
    assert not ring.is_signed("csrf", "s1", "ü")
