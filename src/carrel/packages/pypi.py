"""What does the Python package index look like, to us and to pip? (PEP 503, 658, 691, 700, 714)"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

import orjson

from carrel.packages.ports import IndexReply, Page
from carrel.packages.rules import (
    Index,
    IndexFile,
    Reason,
    Refusal,
    canonical_name,
    is_digest,
    is_filename,
)

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PLAIN_HTML = "text/html"
_SOURCE = re.compile(r"(?P<stem>.+)\.(?:tar\.gz|tgz|tar\.bz2|tar\.xz|zip)")


class PyPI:
    """The adapter for any index that speaks PyPI's simple API, as JSON or as HTML."""

    ecosystem = "pypi"
    accept = f"{JSON}, {HTML};q=0.2, {PLAIN_HTML};q=0.1"

    def __init__(self, index_url: str) -> None:
        self._base = index_url.rstrip("/") + "/"

    def canonical(self, name: str) -> str | None:
        """Return the PEP 503 form."""
        return canonical_name(name)

    def index_url(self, name: str) -> str:
        """Return the project's page below the upstream index."""
        return f"{self._base}{name}/"

    def parse_index(self, name: str, reply: IndexReply) -> Index:
        """Read a JSON or HTML page."""
        try:
            if "json" in reply.content_type:
                page = orjson.loads(reply.body)
                entries, status = page["files"], page.get("project-status") or {}
            else:
                entries, status = _html_entries(reply.body.decode("utf-8", "replace")), {}
            files = tuple(file for entry in entries if (file := _file(name, entry, reply.url)))
            return Index(name, files, is_quarantined=status.get("status") == "quarantined")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refusal(
                Reason.UPSTREAM_AWAY,
                f"The package index sent a page for {name} that cannot be read; try again later.",
                log_detail=repr(error),
            ) from error

    def file_projects(self, filename: str) -> Sequence[str]:
        """Split the name before each dash that may end it; a wheel has only one such dash."""
        if filename.endswith(".whl"):
            name = canonical_name(filename.partition("-")[0])
            return [name] if name else []
        found = _SOURCE.fullmatch(filename)
        parts = found["stem"].split("-") if found else []
        names = (canonical_name("-".join(parts[:end])) for end in range(1, len(parts)))
        return [name for name in names if name]

    def content_type(self, accept: str) -> str:
        """Prefer JSON, as PEP 691 advises."""
        if JSON in accept or "vnd.pypi.simple.latest+json" in accept:
            return JSON
        return HTML if HTML in accept else PLAIN_HTML

    def render_index(self, name: str, files: Sequence[IndexFile], content_type: str) -> Page:
        """Write the page as PEP 691 JSON or PEP 503 HTML."""
        if content_type == JSON:
            return Page(_json_page(name, files), JSON)
        return Page(_html_page(name, files), f"{content_type}; charset=utf-8")


def _file(name: str, entry: Mapping[str, Any], base_url: str) -> IndexFile | None:
    filename, digest = entry["filename"], str(entry["hashes"].get("sha256", "")).lower()
    version = _version(name, filename)
    url = urldefrag(urljoin(base_url, entry["url"])).url
    if version is None or not is_digest(digest) or not _is_safe(url, base_url):
        return None
    size, uploaded, requires = (
        entry.get("size"),
        entry.get("upload-time"),
        entry.get("requires-python"),
    )
    return IndexFile(
        name=name,
        version=version,
        filename=filename,
        digest=digest,
        url=url,
        is_wheel=filename.endswith(".whl"),
        size_bytes=size if isinstance(size, int) and size >= 0 else None,
        uploaded_at=_moment(uploaded) if isinstance(uploaded, str) else None,
        requires=requires if isinstance(requires, str) else None,
        yanked=entry.get("yanked") or False,
        metadata_digest=_metadata_digest(entry),
    )


def _version(name: str, filename: str) -> str | None:
    """Return the version in a file's name if the file is of this project, else None."""
    if not is_filename(filename):
        return None
    if filename.endswith(".whl"):
        parts = filename.removesuffix(".whl").split("-")
        fits = len(parts) in {5, 6} and canonical_name(parts[0]) == name
        return parts[1] if fits else None
    found = _SOURCE.fullmatch(filename)
    parts = found["stem"].split("-") if found else []
    for end in range(1, len(parts)):
        if canonical_name("-".join(parts[:end])) == name:
            return "-".join(parts[end:])
    return None


def _is_safe(url: str, base_url: str) -> bool:
    """Whether a file's address is http(s), and no step down from an https index."""
    scheme = urlsplit(url).scheme
    return scheme == "https" or (scheme == "http" and urlsplit(base_url).scheme == "http")


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _metadata_digest(entry: Mapping[str, Any]) -> str | None:
    hashes = entry.get("core-metadata") or entry.get("dist-info-metadata")
    digest = str(hashes.get("sha256", "")).lower() if isinstance(hashes, Mapping) else ""
    return digest if is_digest(digest) else None


class _Links(HTMLParser):
    """Collects the anchors of a PEP 503 page."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.anchors: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep `a` and `base`."""
        if tag == "a":
            self.anchors.append(dict(attrs))
        elif tag == "base":
            self.base = self.base or dict(attrs).get("href") or ""


def _html_entries(text: str) -> Iterator[dict[str, Any]]:
    """Yield the anchors in the words of the JSON form."""
    links = _Links()
    links.feed(text)
    for anchor in links.anchors:
        href = anchor.get("href")
        if not href:
            continue
        url, fragment = urldefrag(urljoin(links.base, href) if links.base else href)
        kind, _, digest = fragment.partition("=")
        metadata = anchor.get("data-core-metadata") or anchor.get("data-dist-info-metadata") or ""
        yield {
            "filename": unquote(urlsplit(url).path.rpartition("/")[2]),
            "url": url,
            "hashes": {kind: digest},
            "requires-python": anchor.get("data-requires-python"),
            "yanked": (anchor["data-yanked"] or True) if "data-yanked" in anchor else False,
            "core-metadata": dict([metadata.split("=", 1)]) if "=" in metadata else None,
        }


def _link(file: IndexFile) -> str:
    return f"../../files/{file.digest}/{quote(file.filename)}"


def _json_page(name: str, files: Sequence[IndexFile]) -> bytes:
    has_sizes = all(file.size_bytes is not None for file in files)
    page: dict[str, Any] = {
        "meta": {"api-version": "1.1" if has_sizes else "1.0"},
        "name": name,
        "versions": sorted({file.version for file in files}),
        "files": [_json_entry(file) for file in files],
    }
    return orjson.dumps(page)


def _json_entry(file: IndexFile) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": _link(file),
        "hashes": {"sha256": file.digest},
        "requires-python": file.requires,
        "yanked": file.yanked,
    }
    if file.size_bytes is not None:
        entry["size"] = file.size_bytes
    if file.uploaded_at is not None:
        moment = file.uploaded_at.astimezone(UTC).isoformat(timespec="microseconds")
        entry["upload-time"] = moment.replace("+00:00", "Z")
    if file.metadata_digest is not None:
        entry["core-metadata"] = {"sha256": file.metadata_digest}
    return entry


def _html_page(name: str, files: Sequence[IndexFile]) -> bytes:
    head = (
        '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0">'
        f"<title>Links for {name}</title></head><body>\n"
    )
    return (head + "".join(map(_anchor, files)) + "</body></html>\n").encode()


def _anchor(file: IndexFile) -> str:
    attributes = {"href": f"{_link(file)}#sha256={file.digest}"}
    if file.requires is not None:
        attributes["data-requires-python"] = file.requires
    if file.yanked:
        attributes["data-yanked"] = file.yanked if isinstance(file.yanked, str) else ""
    if file.metadata_digest is not None:
        attributes["data-core-metadata"] = f"sha256={file.metadata_digest}"
    text = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<a {text}>{html.escape(file.filename)}</a><br>\n"
