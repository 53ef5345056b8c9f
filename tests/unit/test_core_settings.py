"""Are settings that cannot work refused with a sentence?"""

from pathlib import Path

import pytest

from carrel.core.errors import InvalidRequest
from carrel.core.settings import CONFIG_NAME, load


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"portal_port": 9000, "gateway_port": 9000}, "each needs its own"),
        ({"portal_host": "a.org", "gateway_host": "A.org"}, "cookies ignore ports"),
        ({"database_url": "mysql://db/carrel"}, "sqlite or postgresql"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, given: dict, said: str):
    with pytest.raises(InvalidRequest, match=said):
        load(tmp_path, **given)


def test_any_free_port_may_be_asked_for_twice(tmp_path: Path):
    assert load(tmp_path, portal_port=0, gateway_port=0).portal_port == 0


def test_a_settings_file_in_another_encoding_is_refused(tmp_path: Path):
    (tmp_path / CONFIG_NAME).write_bytes(b'tre_name = "\xe9t\xe9"')
    with pytest.raises(InvalidRequest, match="UTF-8"):
        load(tmp_path)
