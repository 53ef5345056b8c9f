"""Is the TRE's own TLS good: trusted through its authority, renewed in time, keys private?"""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from carrel.core.certificates import RENEW_DAYS, SERVER_DAYS, TlsFiles, ensure, host_names
from carrel.core.errors import InvalidRequest
from carrel.core.settings import load

NOW = datetime.now(UTC)


def shake_hands(files: TlsFiles, name: str) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.authority)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        serving = threading.Thread(target=accept, args=(server, theirs))
        serving.start()
        try:
            with client.wrap_socket(ours, server_hostname=name):
                pass
        finally:
            ours.close()
            serving.join()


def accept(server: ssl.SSLContext, theirs: socket.socket) -> None:
    try:
        server.wrap_socket(theirs, server_side=True).close()
    except OSError:
        theirs.close()


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "4f1c.carrel.localhost", "portal.example.org"]
)
def test_a_client_that_trusts_the_authority_trusts_every_name(tmp_path: Path, name: str):
    shake_hands(ensure(load(tmp_path, portal_host="portal.example.org"), NOW), name)


def test_other_names_are_not_vouched_for(tmp_path: Path):
    files = ensure(load(tmp_path), NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(files, "elsewhere.example.org")


def test_a_second_call_changes_nothing(tmp_path: Path):
    before = ensure(load(tmp_path), NOW).certificate.read_bytes()
    assert ensure(load(tmp_path), NOW).certificate.read_bytes() == before


def test_it_is_renewed_before_it_ends_by_the_same_authority(tmp_path: Path):
    files = ensure(load(tmp_path), NOW)
    assert files.authority is not None
    before, root = files.certificate.read_bytes(), files.authority.read_bytes()
    ensure(load(tmp_path), NOW + timedelta(days=SERVER_DAYS - RENEW_DAYS))
    assert files.certificate.read_bytes() != before
    assert files.authority.read_bytes() == root


def test_new_host_names_make_a_new_certificate(tmp_path: Path):
    ensure(load(tmp_path), NOW)
    files = ensure(load(tmp_path, portal_host="tre.example.org"), NOW)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "tre.example.org" in names.get_values_for_type(x509.DNSName)


def test_keys_are_private_and_certificates_are_not(tmp_path: Path):
    files = ensure(load(tmp_path), NOW)
    assert files.authority is not None
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "server.key": 0o600, "server.pem": 0o644}


def test_a_sites_own_certificate_is_used_as_it_is(tmp_path: Path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.touch()
    key.touch()
    assert ensure(load(tmp_path, tls_certificate=chain, tls_key=key), NOW) == TlsFiles(
        chain, key, None
    )
    assert not (tmp_path / "tls").exists()


def test_half_a_pair_is_refused(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="both"):
        ensure(load(tmp_path, tls_certificate=tmp_path / "chain.pem"), NOW)


def test_a_prefix_before_the_workspace_is_covered_by_the_wildcard(tmp_path: Path):
    names = host_names(load(tmp_path, gateway_host="w-{workspace}.gw.example.org"))
    assert "*.gw.example.org" in names
