"""What do the tests of foreign clients share? One running portal with its issuer."""

from collections.abc import Iterator

import pytest

from tests.browser.site import Site, free_port, running
from tests.compat.issuer import Portal


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A portal on HTTPS with a worker, an administrator `ada`, and `ruth`."""
    with running(Site(tmp_path_factory.mktemp("issuer"), free_port())) as site:
        site.add_person("ada", "Ada Okafor", is_admin=True)
        site.add_person("ruth", "Ruth Whitmore")
        made = Portal(site)
        yield made
        made.close()
