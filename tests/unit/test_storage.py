"""Which store do the settings choose, and which settings are refused?"""

import pytest

from carrel.airlock.stores import FolderStore
from carrel.airlock.stores.objects import ObjectStore
from carrel.core.errors import InvalidRequest
from carrel.core.settings import load
from carrel.storage import store_of


def key_file(folder, text="name\nsecret\n", mode=0o600):
    path = folder / "store.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_files_lie_in_the_home_unless_somebody_says_otherwise(tmp_path):
    assert isinstance(store_of(load(tmp_path)), FolderStore)


@pytest.mark.parametrize("url", ["s3://bucket/pre/fix", "s3://bucket", "az://container/prefix"])
def test_a_url_chooses_a_service(tmp_path, url):
    secret = "c2VjcmV0"
    settings = load(
        tmp_path,
        airlock_store=url,
        airlock_store_key_file=key_file(tmp_path, f"name\n{secret}\n"),
        airlock_store_endpoint="http://127.0.0.1:9",
    )
    store = store_of(settings)
    assert isinstance(store, ObjectStore)
    assert secret not in repr(settings)


def test_azure_needs_a_key_file(tmp_path):
    with pytest.raises(InvalidRequest, match="with a key file"):
        store_of(load(tmp_path, airlock_store="az://container"))


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [("name\nsecret", 0o640, "mode 0600"), ("only-one", 0o600, "two lines"), ("", 0o600, "two")],
)
def test_a_key_file_that_does_not_fit_is_refused_with_the_reason(tmp_path, text, mode, why):
    path = key_file(tmp_path, text, mode)
    with pytest.raises(InvalidRequest, match=why) as caught:
        store_of(load(tmp_path, airlock_store="s3://bucket", airlock_store_key_file=path))
    assert "secret" not in str(caught.value).replace("a secret", "").replace("the secret", "")


def test_a_key_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InvalidRequest, match="cannot be read"):
        store_of(load(tmp_path, airlock_store="s3://b", airlock_store_key_file=tmp_path / "absent"))


@pytest.mark.parametrize(
    "given",
    [
        {"airlock_store": "ftp://host/x"},
        {"airlock_store": "s3://bucket?versioning"},
        {"airlock_store_endpoint": "http://store.example.org"},
        {"airlock_store_endpoint": "https://user:password@store.example.org"},
    ],
)
def test_what_is_no_store_is_refused(tmp_path, given):
    with pytest.raises(InvalidRequest, match="airlock_store"):
        load(tmp_path, **given)
