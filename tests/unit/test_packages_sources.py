"""Is the upstream index the one that pip on this machine would use?"""

from pathlib import Path

import pytest

from carrel.core.errors import InvalidRequest
from carrel.core.settings import Settings
from carrel.packages.sources import PIPS_OWN_INDEX, Source, find_source, trust
from carrel.workspaces.clients import client_environment


@pytest.fixture
def environment(tmp_path):
    """A machine of its own: no file of the real one is read."""
    config = tmp_path / "pip.conf"
    return {"PIP_CONFIG_FILE": str(config), "HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/nowhere"}


def settings(tmp_path, **given) -> Settings:
    return Settings(home=tmp_path, **given)


def configure(environment: dict[str, str], text: str) -> None:
    Path(environment["PIP_CONFIG_FILE"]).write_text(text)


def test_the_setting_wins(tmp_path, environment):
    configure(environment, "[global]\nindex-url = https://pip.example/simple\n")
    source = find_source(
        settings(tmp_path, package_index_url="https://set.example/simple"), environment
    )
    assert source.index_url == "https://set.example/simple"


def test_pips_file_and_then_its_environment(tmp_path, environment):
    configure(
        environment,
        "[global]\nindex_url = https://pip.example/simple\ncert = /ca.pem\n"
        "proxy = http://proxy.example:3128\nextra-index-url = https://extra.example/\n",
    )
    source = find_source(settings(tmp_path), environment)
    assert source == Source(
        "https://pip.example/simple", ca_file="/ca.pem", proxy="http://proxy.example:3128"
    )
    environment["PIP_INDEX_URL"] = "https://env.example/simple"
    assert find_source(settings(tmp_path), environment).index_url == "https://env.example/simple"


def test_pips_dev_null_switches_the_files_off(tmp_path, environment):
    source = find_source(settings(tmp_path), {**environment, "PIP_CONFIG_FILE": "/dev/null"})
    assert source == Source(PIPS_OWN_INDEX)


def test_credentials_are_taken_out_of_the_url(tmp_path, environment):
    source = find_source(
        settings(tmp_path, package_index_url="https://me:p%40ss@set.example/simple"), environment
    )
    assert source.index_url == "https://set.example/simple"
    assert source.credentials == ("me", "p@ss")


def test_a_certificate_bundle_that_is_not_there_is_named():
    with pytest.raises(InvalidRequest, match=r"/nowhere/ca\.pem"):
        trust(Source("https://index.example/", ca_file="/nowhere/ca.pem"))


def test_a_broken_pip_configuration_is_named(tmp_path, environment):
    configure(environment, "no section\n")
    with pytest.raises(InvalidRequest, match=r"pip\.conf"):
        find_source(settings(tmp_path), environment)


def test_a_sandbox_knows_one_index_and_no_proxy():
    environment = client_environment(8081)
    assert environment["PIP_INDEX_URL"] == "http://127.0.0.1:8081/pypi/simple/"
    assert not any("proxy" in name.lower() or "EXTRA" in name for name in environment)


def test_an_open_sandbox_knows_the_egress_proxy_but_not_for_itself():
    environment = client_environment(8081, egress_port=3128)
    assert environment["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert "127.0.0.1" in environment["NO_PROXY"]
