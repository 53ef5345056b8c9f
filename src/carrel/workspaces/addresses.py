"""Which range of addresses does a workspace or service get, so that no two overlap? Pure.

The ranges are records: they are what templates and clients of AzureTRE ask for. A workspace of
the local driver has no network interface, so no packet ever carries one of these addresses.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network

from carrel.core.errors import Conflict, InvalidRequest

SIZES = {"small": 24, "medium": 22, "large": 16}
"""Prefix lengths by the words of `address_space_size`. The words and lengths are AzureTRE's."""
CUSTOM = "custom"
DEFAULT_SIZE = "small"
_LONGEST, _SHORTEST = 29, 8
_FIELD = "properties.address_space"

Span = tuple[int, int]
"""First and last address of a range, as numbers."""


def span(network: IPv4Network) -> Span:
    """Return the first and last address of a network, as numbers."""
    return int(network.network_address), int(network.broadcast_address)


def prefix_of(size: str) -> int:
    """Return the prefix length of a size. Raises `InvalidRequest` naming the sizes."""
    if size not in SIZES:
        raise InvalidRequest(
            f"{size!r} is no size of an address space. Choose one of: "
            f"{', '.join([*SIZES, CUSTOM])}.",
            field="properties.address_space_size",
        )
    return SIZES[size]


def free_network(taken: Iterable[Span], pool: IPv4Network, prefix: int) -> IPv4Network:
    """Return the lowest network of this prefix in the pool that overlaps nothing taken.

    Raises `Conflict` if there is none.
    """
    count = 1 << (32 - prefix)
    first, last = span(pool)
    start = -(-first // count) * count
    for begin, end in sorted(taken):
        if start + count <= begin:
            break
        if end >= start:
            start = -(-(end + 1) // count) * count
    if start + count - 1 > last:
        raise Conflict(
            f"No free range of size /{prefix} is left in {pool}. Delete workspaces that nobody "
            "needs any more, or choose a smaller size."
        )
    return IPv4Network((start, prefix))


def custom_network(text: object, taken: Iterable[Span]) -> IPv4Network:
    """Return the network that somebody asked for. Raises `InvalidRequest` if it cannot be."""
    if not isinstance(text, str) or not text:
        raise InvalidRequest(
            "Missing 'address_space' from properties. Give a range such as 10.250.0.0/24, or "
            "choose another address_space_size.",
            field=_FIELD,
        )
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise InvalidRequest(
            f"{text!r} is no range of IPv4 addresses. Write it like 10.250.0.0/24, with nothing "
            "set beyond the prefix.",
            field=_FIELD,
        ) from error
    if not network.is_private or not _SHORTEST <= network.prefixlen <= _LONGEST:
        raise InvalidRequest(
            f"{network} must be a private range between /{_SHORTEST} and /{_LONGEST}.",
            field=_FIELD,
        )
    first, last = span(network)
    if any(begin <= last and first <= end for begin, end in taken):
        raise InvalidRequest(
            f"The custom 'address_space' you requested conflicts with the current network: "
            f"{network} overlaps a range in use. Choose another one.",
            field=_FIELD,
        )
    return network
