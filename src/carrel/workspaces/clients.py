"""How does a program in a workspace find the doors for software?"""

from collections.abc import Mapping

from carrel.workspaces.rules import PACKAGE_PORT


def index_url(port: int = PACKAGE_PORT) -> str:
    """Return the package index as seen from inside a workspace."""
    return f"http://127.0.0.1:{port}/pypi/simple/"


def client_environment(
    port: int | None = PACKAGE_PORT, *, egress_port: int | None = None
) -> Mapping[str, str]:
    """Return the environment of a sandbox; None for a door that its workspace does not have.

    The host's own pip configuration, if it is visible inside, is switched off: its indexes
    cannot be reached from there, and pip would wait for each of them.
    """
    environment: dict[str, str] = {}
    if port is not None:
        environment = {
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": index_url(port),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "UV_DEFAULT_INDEX": index_url(port),
        }
    if egress_port is not None:
        proxy = f"http://127.0.0.1:{egress_port}"
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            environment[name] = proxy
        environment["no_proxy"] = environment["NO_PROXY"] = "127.0.0.1,localhost"
    return environment
