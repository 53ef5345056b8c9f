"""Is this archive the release that a TRE signed, whole and with nothing beside? Needs no TRE."""

import hashlib
import os
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from carrel.airlock.rules.crate import part_id
from carrel.airlock.rules.names import (
    CRATE_NAME,
    KEY_NAME,
    MANIFEST_NAME,
    PAPERS,
    SIGNATURE_NAME,
)
from carrel.airlock.rules.requests import canonical, digest
from carrel.core.errors import InvalidRequest, OutsideFailure

PAPER_BYTES = 64 * 2**20
"""No paper of a release is larger; what says it is is not read."""
_CHUNK_BYTES = 2**20
_LOCAL = struct.Struct("<4s5H3I2H")
_DESCRIPTORS = (0, 12, 16, 20, 24)
"""How many bytes may follow a file in an archive that was written in one go."""


class NotAsReleased(OutsideFailure):
    """An archive is not what a TRE released."""

    code = "not_as_released"


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A release in which everything fits."""

    request_id: str
    title: str
    tre: str
    files: int
    manifest_sha256: str
    policy_sha256: str
    key_sha256: str
    """Fingerprint of the key that signed."""
    is_key_given: bool
    """Whether it is the key that the reader brought; else it came with the archive."""


def fingerprint_of(pem: bytes) -> str:
    """Return the SHA-256 (hex) of a public key, whatever its PEM text looks like."""
    return hashlib.sha256(_raw(_public(pem))).hexdigest()


def verify_release(path: Path, key: bytes | None = None) -> VerifiedRelease:
    """Return what an archive is if all of it is what was signed, with `key` (PEM) if given.

    Raises `NotAsReleased` saying what differs, `InvalidRequest` if `key` is no such key.
    """
    trusted = None if key is None else _raw(_given(key))
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _verified(archive, file, trusted)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise NotAsReleased("This is not an archive as Carrel writes them.") from error
    except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise NotAsReleased(
            "This archive's metadata is not as Carrel writes it.", log_detail=repr(error)
        ) from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", field="file") from error


def _verified(archive: zipfile.ZipFile, file: IO[bytes], trusted: bytes | None) -> VerifiedRelease:
    entries = _entries(archive)
    _check_gaps(archive, file)
    missing = sorted(PAPERS - set(entries))
    if missing:
        raise NotAsReleased(f"{missing[0]} is missing from the archive.")
    crate, key = _paper(archive, CRATE_NAME), _paper(archive, KEY_NAME)
    used = _signer(crate, _paper(archive, SIGNATURE_NAME), key, trusted)
    graph = {entity["@id"]: entity for entity in orjson.loads(crate)["@graph"]}
    _check_parts(archive, entries, graph)
    record = orjson.loads(_paper(archive, MANIFEST_NAME))
    _check_record(record, graph)
    return VerifiedRelease(
        request_id=record["request"],
        title=record["title"],
        tre=record["tre"],
        files=len(record["manifest"]["files"]),
        manifest_sha256=record["manifest_sha256"],
        policy_sha256=record["policy_sha256"],
        key_sha256=hashlib.sha256(used).hexdigest(),
        is_key_given=trusted is not None,
    )


# The archive ----------------------------------------------------------------------------------


def _entries(archive: zipfile.ZipFile) -> Mapping[str, zipfile.ZipInfo]:
    """Return the files by name. Raises `NotAsReleased` for what is hidden, doubled or no file."""
    listed = archive.infolist()
    twice = [name for name, count in Counter(each.filename for each in listed).items() if count > 1]
    if twice:
        raise NotAsReleased(f"The archive holds {twice[0]} twice.")
    for each in listed:
        kind = each.external_attr >> 28
        is_packed = each.compress_type != zipfile.ZIP_STORED or each.compress_size != each.file_size
        if each.is_dir() or kind not in {0, 8} or each.flag_bits & 1 or is_packed:
            raise NotAsReleased(f"{each.filename} is not a plain file, as Carrel writes them.")
        if each.comment or not _is_sizes_only(each.extra):
            raise NotAsReleased(f"The archive holds something hidden beside {each.filename}.")
    return {each.filename: each for each in listed}


def _is_sizes_only(extra: bytes) -> bool:
    """Whether an entry's extra field is empty, or the sizes of a file over 4 GiB (ZIP64)."""
    return not extra or (extra[:2] == b"\x01\x00" and len(extra) in {4 + 8, 4 + 16, 4 + 24})


def _check_gaps(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Raise `NotAsReleased` if bytes lie before, between or after the files."""
    expected = 0
    for each in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if each.header_offset - expected not in _DESCRIPTORS or (
            expected == 0 and each.header_offset != 0
        ):
            raise NotAsReleased(f"The archive holds something hidden before {each.filename}.")
        file.seek(each.header_offset)
        header = _LOCAL.unpack(file.read(_LOCAL.size))
        file.seek(header[9], os.SEEK_CUR)
        if not _is_sizes_only(file.read(header[10])):
            raise NotAsReleased(f"The archive holds something hidden beside {each.filename}.")
        expected = each.header_offset + _LOCAL.size + header[9] + header[10] + each.compress_size
    end = file.seek(0, os.SEEK_END)
    listed = archive.infolist()
    listing = sum(46 + len(each.orig_filename.encode()) + len(each.extra) for each in listed)
    closing = end - archive.start_dir - listing
    before = archive.start_dir - expected
    if before not in _DESCRIPTORS or closing not in {22, 22 + 76} or archive.comment:
        raise NotAsReleased("The archive holds something hidden after its last file.")


def _paper(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > PAPER_BYTES:
        raise NotAsReleased(f"{name} is larger than Carrel writes it.")
    return archive.read(name)


# What was signed ------------------------------------------------------------------------------


def _signer(crate: bytes, signature: bytes, key: bytes, trusted: bytes | None) -> bytes:
    """Return the raw key that signed the crate."""
    own = _raw(_public(key))
    if trusted is not None and trusted != own:
        raise NotAsReleased("This release was signed with another key than the one you gave.")
    try:
        Ed25519PublicKey.from_public_bytes(own).verify(signature, crate)
    except InvalidSignature as error:
        raise NotAsReleased(f"The signature does not fit {CRATE_NAME}: it was changed.") from error
    return own


def _check_parts(
    archive: zipfile.ZipFile,
    entries: Mapping[str, zipfile.ZipInfo],
    graph: Mapping[str, Mapping[str, Any]],
) -> None:
    """Raise `NotAsReleased` unless the archive holds what the crate lists, and nothing else."""
    listed = {each["@id"] for each in graph["./"]["hasPart"]}
    expected = {part_id(name): name for name in entries if name != CRATE_NAME}
    for extra in sorted(set(expected) - listed):
        raise NotAsReleased(f"{expected[extra]} is in the archive, and was not released.")
    for missing in sorted(listed - set(expected)):
        raise NotAsReleased(f"{missing} was released, and is not in the archive.")
    for identifier, name in sorted(expected.items()):
        if name != SIGNATURE_NAME:
            part, entry = graph[identifier], entries[name]
            if int(part["contentSize"]) != entry.file_size or part["sha256"] != _sha256(
                archive, entry
            ):
                raise NotAsReleased(f"{name} is not the file that was released.")


def _check_record(record: Mapping[str, Any], graph: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `NotAsReleased` unless record and crate say the same of seal, policy and files."""
    said = [
        (record["manifest_sha256"], digest(canonical(record["manifest"]))),
        (record["manifest_sha256"], graph["#seal-hash"]["value"]),
        (record["policy_sha256"], digest(graph["#policy"]["text"])),
        (record["policy_sha256"], graph["#policy-hash"]["value"]),
        (f"urn:uuid:{record['request']}", graph["./"]["identifier"]),
    ]
    files = {part_id(each["name"]): each["sha256"] for each in record["manifest"]["files"]}
    listed = _released(graph)
    if any(a != b for a, b in said) or files != listed:
        raise NotAsReleased(f"{MANIFEST_NAME} and {CRATE_NAME} do not say the same.")


def _released(graph: Mapping[str, Mapping[str, Any]]) -> Mapping[str, str]:
    parts: Sequence[str] = [each["@id"] for each in graph["./"]["hasPart"]]
    return {each: graph[each]["sha256"] for each in parts if each not in PAPERS}


def _sha256(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    found = hashlib.sha256()
    with archive.open(entry) as content:
        while chunk := content.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def _given(key: bytes) -> Ed25519PublicKey:
    try:
        return _public(key)
    except NotAsReleased as error:
        raise InvalidRequest(
            "That is no public ed25519 key in PEM. Get the TRE's with: carrel release key",
            field="key",
        ) from error


def _public(pem: bytes) -> Ed25519PublicKey:
    try:
        if not pem.lstrip().startswith(b"-----BEGIN "):  # the parser would look for it anywhere
            raise NotAsReleased(f"{KEY_NAME} holds no key.")
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotAsReleased(f"{KEY_NAME} holds no key.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise NotAsReleased(f"{KEY_NAME} holds a key of another kind.")
    return key


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
