"""How do browsers on one machine get TLS? The TRE's own small certificate authority.

Its root is `HOME/tls/ca.pem`, for people to trust; a site with real certificates names them in
the settings instead, and nothing here is used.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from carrel.core.errors import InvalidRequest
from carrel.core.files import write_whole
from carrel.core.settings import Settings

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
"""Browsers refuse server certificates that live longer (CA/Browser Forum, SC-31)."""
RENEW_DAYS = 30
_EARLIER = timedelta(hours=1)  # clocks differ


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for a TLS server."""

    certificate: Path
    """The chain, server certificate first."""
    key: Path
    authority: Path | None
    """What clients must trust; None if they do already (the site's own certificates)."""


def ensure(settings: Settings, now: datetime) -> TlsFiles:
    """Return the TLS files of this TRE, made or renewed first where that is due.

    May be called twice. Raises `InvalidRequest` if the settings name only half of a pair.
    """
    if settings.tls_certificate or settings.tls_key:
        return _given(settings)
    folder = settings.home / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    files = TlsFiles(folder / "server.pem", folder / "server.key", folder / "ca.pem")
    authority, authority_key = _authority(folder, settings.tre_name, now)
    names = host_names(settings)
    if not _is_good(files, authority, names, now):
        _issue(files, authority, authority_key, names, now)
    return files


def host_names(settings: Settings) -> Sequence[str]:
    """Return every name the portal and the gateway may be called by, sorted."""
    gateway = settings.gateway_host.replace("{workspace}", "*")
    if gateway.split(".", 1)[0] not in {"*", gateway} and "*" in gateway:
        gateway = "*." + gateway.split(".", 1)[1]  # "w-{workspace}.x" is covered by "*.x"
    more = {name.lower() for name in settings.certificate_names}
    return sorted({settings.portal_host, gateway, "localhost", "127.0.0.1", "::1"} | more)


def _given(settings: Settings) -> TlsFiles:
    if not (settings.tls_certificate and settings.tls_key):
        raise InvalidRequest(
            "Set both tls_certificate and tls_key, or neither.", field="tls_certificate"
        )
    for path in (settings.tls_certificate, settings.tls_key):
        if not path.is_file():
            raise InvalidRequest(f"{path} does not exist.", field="tls_certificate")
    return TlsFiles(settings.tls_certificate, settings.tls_key, None)


def _authority(
    folder: Path, name: str, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path, key_path = folder / "ca.pem", folder / "ca.key"
    if path.exists() and key_path.exists():
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        if certificate.not_valid_after_utc > now + timedelta(days=SERVER_DAYS):
            return certificate, _read_key(key_path)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"{name[:40]} certificate authority")]
    )
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_path, _pem(key), private=True)
    _write(path, certificate.public_bytes(serialization.Encoding.PEM), private=False)
    return certificate, key


def _issue(
    files: TlsFiles,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    now: datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[-1][:64])])
    certificate = (
        _builder(subject, authority.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM) + authority.public_bytes(
        serialization.Encoding.PEM
    )
    _write(files.key, _pem(key), private=True)
    _write(files.certificate, chain, private=False)


def _is_good(
    files: TlsFiles, authority: x509.Certificate, names: Sequence[str], now: datetime
) -> bool:
    if not (files.certificate.exists() and files.key.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        certificate.not_valid_after_utc > now + timedelta(days=RENEW_DAYS)
        and set(held) == set(_general(names))
        and _is_issued_by(certificate, authority)
        and certificate.public_key() == _read_key(files.key).public_key()
    )


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now - _EARLIER + timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(names: Sequence[str]) -> list[x509.GeneralName]:
    general: list[x509.GeneralName] = []
    for name in names:
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            general.append(x509.DNSName(name))
    return general


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidRequest(f"{path} holds another kind of key. Move the folder tls away.")
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes, *, private: bool) -> None:
    """Write a certificate or key; an owner set by an earlier start stays."""
    write_whole(path, content, mode=0o600 if private else 0o644, keep_owner=True)
