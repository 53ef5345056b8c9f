"""Does tuspy, unmodified, bring a file in though its connection is cut in the middle?"""

import hashlib
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tusclient.client import TusClient

from carrel.airlock.service import Airlock
from carrel.core.actors import WorkspaceRole, system
from tests.browser.site import PASSWORD
from tests.browser.story import finished
from tests.compat.issuer import Portal

MIB = 2**20


@contextmanager
def cutting(port: int, after_bytes: int) -> Iterator[int]:
    """Yield the port of a proxy whose first large connection dies after so many bytes."""
    left, ended = [after_bytes], threading.Event()

    def pump(source: socket.socket, target: socket.socket, *, counts: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                if counts and left[0] > 0:
                    left[0] -= len(piece)
                    if left[0] <= 0:
                        break
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while not ended.is_set():
            try:
                inner, _ = listener.accept()
            except OSError:
                return
            outer = socket.create_connection(("127.0.0.1", port))
            pumps = [
                threading.Thread(target=pump, args=(inner, outer), kwargs={"counts": True}),
                threading.Thread(target=pump, args=(outer, inner), kwargs={"counts": False}),
            ]
            for each in pumps:
                each.start()
            for each in pumps:
                each.join()
            inner.close()
            outer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield listener.getsockname()[1]
            assert left[0] <= 0, "the connection was never cut"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            server.join(20)


def drafted(portal: Portal) -> tuple[str, str, Airlock]:
    """Make a workspace and Ruth's import draft in it; returns their ids."""
    site = portal.site
    properties = {"display_name": "Large files", "description": "For a test"}
    properties["workspace_owner_object_id"] = ""
    made, operation = site.workspaces.create_workspace(site.actor("ada"), "restricted", properties)
    finished(site, operation)
    ruth = site.people.find_account_by_name("ruth")
    site.people.assign_role(system("tests"), made.id, ruth.id, WorkspaceRole.RESEARCHER)
    request = site.airlock.create(
        site.actor("ruth"), made.id, type="import", title="Scans", justification="For the study"
    )
    return made.id, request.id, site.airlock


def test_tuspy_goes_on_where_its_connection_was_cut(portal: Portal, monkeypatch):
    workspace, request, airlock = drafted(portal)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", portal.ca)  # tuspy asks for true or false only
    content = hashlib.shake_256(b"a scan").digest(40 * MIB)
    token = portal.site.people.sign_in("ruth", PASSWORD, kind="api", client="tests").token
    with cutting(portal.site.settings.portal_port, 21 * MIB) as port:
        path = f"/api/workspaces/{workspace}/requests/{request}/uploads"
        client = TusClient(
            f"https://localhost:{port}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        uploader = client.uploader(
            file_stream=io.BytesIO(content), metadata={"filename": "scans/day 1.bin"},
            retries=5, retry_delay=1, verify_tls_cert=True,
        )  # fmt: skip
        uploader.upload()
        uploader.request = None
    (file,) = airlock.get(portal.site.actor("ruth"), request).files
    assert file.name == "scans/day 1.bin"
    assert file.sha256 == hashlib.sha256(content).hexdigest()
