"""How does a bucket of S3, or a container of Azure Blob, keep the files of requests?

Objects are named `<prefix>/<request>/<stage>/<file id>`. What is read is first copied whole into
an unnamed file of this host: who verifies a file and then sends it reads the same bytes twice.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, MemoryStore, S3Store

from carrel.airlock.ports import Stored
from carrel.airlock.rules import Stage
from carrel.airlock.stores._shared import Measured, absent, checked_id
from carrel.core.errors import InvalidRequest, OutsideFailure, Unavailable

if TYPE_CHECKING:  # the library has them for type checkers only
    from obstore import GetOptions, ObjectMeta, WritableFile
    from obstore.store import AzureConfig, ClientConfig, RetryConfig, S3Config

PART_BYTES = 8 * 2**20
COPY_BYTES = 4 * 2**30
"""The services copy up to 5 GiB by themselves; larger objects are copied part by part."""
_PARTS_AT_ONCE = 4
_RETRY_SECONDS = 20
_LISTED_AT_ONCE = 500

_RETRY: "RetryConfig" = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
}

Service = S3Store | AzureStore | MemoryStore


class ObjectStore:
    """Keeps objects in a service outside; `spool` is a folder of this host for open files."""

    def __init__(self, service: Service, spool: Path, *, copy_bytes: int = COPY_BYTES) -> None:
        self._service = service
        self._spool = spool
        self._copy_bytes = copy_bytes

    def put(
        self, request_id: str, file_id: str, content: Iterable[bytes], *, limit_bytes: int
    ) -> Stored:
        """Send in parts; the service shows nothing of them before the last one is there."""
        key = _key(request_id, Stage.DRAFT, file_id)
        measured = Measured(content, limit_bytes)
        self._send(key, measured)
        return measured.stored

    def open(self, request_id: str, stage: Stage, file_id: str) -> BinaryIO:
        """Fetch all of one version of the object into a file that has no name."""
        key = _key(request_id, stage, file_id)
        meta = self._meta(key)
        if meta is None:
            raise absent()
        with _local():
            self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
            fetched = tempfile.TemporaryFile(dir=self._spool)  # noqa: SIM115 - the caller closes it
        try:
            for part in self._parts(key, meta):
                with _local():
                    fetched.write(part)
            with _local():
                fetched.seek(0)
        except BaseException:
            fetched.close()
            raise
        return fetched

    def move(self, request_id: str, file_id: str, old: Stage, new: Stage) -> None:
        """Copy, look at the copy, then delete: killed in between, the next call does it again."""
        source, target = (_key(request_id, stage, file_id) for stage in (old, new))
        meta = self._meta(source)
        if meta is None:
            if self._meta(target) is None:
                raise absent()
            return
        if source == target:
            return
        self._copy(source, target, meta)
        copied = self._meta(target)
        if copied is None or copied["size"] != meta["size"]:
            raise Unavailable(
                "The airlock's store has not finished a copy. Nothing is lost; it goes on by "
                "itself.",
                log_detail=f"{target}: {copied and copied['size']} of {meta['size']} bytes",
            )
        self._delete([source])

    def delete(self, request_id: str, stage: Stage, file_id: str) -> None:
        """Delete the object."""
        self._delete([_key(request_id, stage, file_id)])

    def drop(self, request_id: str) -> None:
        """Delete whatever there is below the request's prefix."""
        for keys in self._listed(checked_id(request_id)):
            self._delete(keys)

    def objects(self, request_id: str) -> Sequence[tuple[Stage, str]]:
        """List the request's prefix; what is no object of ours is left to `drop`."""
        found = (key for keys in self._listed(checked_id(request_id)) for key in keys)
        named = (key.split("/")[1:] for key in found)
        stages = {stage.value for stage in Stage}
        return sorted((Stage(parts[0]), parts[1]) for parts in named if parts[0] in stages)

    def remove_partial(self) -> int:
        """Return 0: parts that a killed upload left are no objects; the service expires them."""
        return 0

    def _send(self, key: str, content: Iterable[bytes]) -> None:
        """Write an object, whole or not at all.

        The library is never given the content to read from: it may come out of this very store.
        """
        with _translated():
            writer = obstore.open_writer(
                self._service, key, buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
        with _Whole(writer):
            for chunk in content:
                with _translated():
                    writer.write(chunk)

    def _parts(self, key: str, meta: "ObjectMeta") -> Iterator[bytes]:
        """Yield one version of an object; each request is short, and repeated when it fails."""
        for start in range(0, meta["size"], PART_BYTES):
            end = min(start + PART_BYTES, meta["size"])
            options: GetOptions = {"range": (start, end)}
            if meta["e_tag"]:
                options["if_match"] = meta["e_tag"]
            with _translated():
                try:
                    part = obstore.get(self._service, key, options=options).bytes()
                except FileNotFoundError as error:
                    raise absent() from error
            if len(part) != end - start:
                raise Unavailable(
                    "The airlock's store sent less than the whole file. Try again.",
                    log_detail=f"{key}: {len(part)} bytes at {start}, not {end - start}",
                )
            yield bytes(part)

    def _copy(self, source: str, target: str, meta: "ObjectMeta") -> None:
        if meta["size"] > self._copy_bytes:
            self._send(target, self._parts(source, meta))
            return
        with _translated():
            try:
                obstore.copy(self._service, source, target)
            except FileNotFoundError as error:
                raise absent() from error

    def _meta(self, key: str) -> "ObjectMeta | None":
        with _translated():
            try:
                return obstore.head(self._service, key)
            except FileNotFoundError:
                return None

    def _delete(self, keys: Sequence[str]) -> None:
        for key in keys:  # one by one: in a batch, one that is gone would hide the others' fate
            with _translated():
                try:
                    obstore.delete(self._service, key)
                except FileNotFoundError:
                    continue

    def _listed(self, request_id: str) -> Iterator[list[str]]:
        with _translated():
            listed = obstore.list(self._service, request_id, chunk_size=_LISTED_AT_ONCE)
            for found in listed:
                yield [each["path"] for each in found]


def object_store(
    url: str, key: tuple[str, str] | None, *, spool: Path, **where: str
) -> ObjectStore:
    """Return the store at `s3://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`.

    `key` is the access key id (S3) or the account's name (Azure), and the secret. `where` may
    hold `endpoint` (a service of one's own; http only on this machine) and `region`.
    """
    parts = urlsplit(url)
    prefix = parts.path.strip("/") or None
    service: Service
    if parts.scheme == "s3":
        service = _s3(parts.netloc, prefix, key, where)
    elif parts.scheme == "az" and key:
        service = _azure(parts.netloc, prefix, key, where)
    else:
        raise InvalidRequest(
            "The airlock's store is s3://BUCKET/PREFIX, or az://CONTAINER/PREFIX with a key file. "
            "Set airlock_store and airlock_store_key_file.",
            field="airlock_store",
        )
    return ObjectStore(service, spool)


def _s3(
    bucket: str, prefix: str | None, key: tuple[str, str] | None, where: dict[str, str]
) -> S3Store:
    endpoint = where.get("endpoint", "")
    config: S3Config = {
        "region": where.get("region") or "us-east-1",
        "virtual_hosted_style_request": not endpoint,
    }
    if endpoint:
        config["endpoint"] = endpoint
    if key:
        config["access_key_id"], config["secret_access_key"] = key
    options: ClientConfig = {"allow_http": endpoint.startswith("http://")}
    return S3Store(
        bucket, prefix=prefix, config=config, client_options=options, retry_config=_RETRY
    )


def _azure(
    container: str, prefix: str | None, key: tuple[str, str], where: dict[str, str]
) -> AzureStore:
    endpoint = where.get("endpoint", "")
    config: AzureConfig = {"account_name": key[0], "account_key": key[1]}
    if endpoint:
        config["endpoint"] = endpoint
    options: ClientConfig = {"allow_http": endpoint.startswith("http://")}
    return AzureStore(
        container, prefix=prefix, config=config, client_options=options, retry_config=_RETRY
    )


class _Whole:
    """Closes what is written when all of it came, and gives its parts up otherwise."""

    def __init__(self, writer: "WritableFile") -> None:
        self._writer = writer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            with _translated():
                self._writer.close()
            return
        with suppress(BaseError, OSError):  # then the service expires the parts
            self._writer.__exit__(kind, error, trace)


def _key(request_id: str, stage: Stage, file_id: str) -> str:
    return f"{checked_id(request_id)}/{stage.value}/{checked_id(file_id)}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise OutsideFailure(
            "The bucket or container of the airlock's store is not there. Tell an administrator.",
            log_detail=_first_line(error),
        ) from error
    except (BaseError, OSError) as error:
        raise Unavailable(
            "The airlock's store does not answer, or refuses Carrel. Nothing was lost; try again, "
            "and tell an administrator if it goes on.",
            log_detail=_first_line(error),
        ) from error


@contextmanager
def _local() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            "This machine has no room to look at a file of the airlock. Tell an administrator and "
            "try again.",
            log_detail=f"{error.strerror}: {error.filename}",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]  # below it the library prints whole requests
