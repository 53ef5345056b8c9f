"""Where is this machine's Python package index, and which certificates does it trust?"""

import configparser
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from carrel.core.errors import InvalidRequest
from carrel.core.settings import Settings, child_environment

PIPS_OWN_INDEX = "https://pypi.org/simple/"
"""What pip itself uses if nobody says otherwise; the only upstream address in the code."""


@dataclass(frozen=True, slots=True)
class Source:
    """An upstream index and how to reach it."""

    index_url: str
    """Without user name and password."""
    credentials: tuple[str, str] | None = None
    """User name and password, which pip keeps in the URL."""
    ca_file: str | None = None
    """PEM bundle; None means the system's."""
    proxy: str | None = None


def find_source(settings: Settings, environment: Mapping[str, str] | None = None) -> Source:
    """Return the upstream index: the setting, else what pip on this machine is configured for.

    pip's extra indexes are left out on purpose: which of two indexes serves a name would be
    chance (dependency confusion).
    """
    env = child_environment() if environment is None else environment
    options = {**_pip_files(env), **_pip_environment(env)}
    ca_file = options.get("cert") or env.get("REQUESTS_CA_BUNDLE") or env.get("SSL_CERT_FILE")
    url = settings.package_index_url or options.get("index-url") or PIPS_OWN_INDEX
    parts = urlsplit(url)
    return Source(
        index_url=parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
        credentials=(unquote(parts.username), unquote(parts.password or ""))
        if parts.username
        else None,
        ca_file=ca_file or None,
        proxy=options.get("proxy") or None,
    )


def trust(source: Source) -> ssl.SSLContext:
    """Return the TLS context for the source. Raises `InvalidRequest` naming a bad bundle."""
    try:
        return ssl.create_default_context(cafile=source.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidRequest(
            f"The certificate bundle {source.ca_file} cannot be read. Correct pip's `cert` setting "
            "(`pip config list`) or REQUESTS_CA_BUNDLE on this machine.",
            log_detail=str(error),
        ) from error


def _pip_files(env: Mapping[str, str]) -> dict[str, str]:
    """Return what `pip install` reads from pip's configuration files, later over earlier."""
    options: dict[str, str] = {}
    for path in _pip_paths(env):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise InvalidRequest(
                f"pip's configuration {path} cannot be read: correct it, or set package_index_url.",
                log_detail=str(error),
            ) from error
        for section in filter(parser.has_section, ("global", "install")):
            options |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    return options


def _pip_paths(env: Mapping[str, str]) -> list[Path]:
    """Return where pip looks, in its order (pip's user guide, Configuration Files)."""
    named = env.get("PIP_CONFIG_FILE")
    if named == "/dev/null":
        return []
    home = Path(env.get("HOME") or "/")
    folders = (env.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    return [
        *(Path(folder) / "pip" / "pip.conf" for folder in folders),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
        Path(sys.prefix) / "pip.conf",
        *([Path(named)] if named else []),
    ]


def _pip_environment(env: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix("PIP_").lower().replace("_", "-"): value
        for key, value in env.items()
        if key.startswith("PIP_") and value
    }
