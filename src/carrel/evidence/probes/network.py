"""Which ways out lead over a network, or over a socket that goes around it?"""

import socket

from carrel.evidence.rules import Control, Probe

_NET = Control.SMALL_NET
_NO_ROUTE = frozenset({"ENETUNREACH", "EADDRNOTAVAIL"})
_NOBODY = frozenset({"ECONNREFUSED"})
_FILTERED = frozenset({"EPERM", "ENOSYS", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT"})
_NOT_ADMIN = frozenset({"EPERM", "EACCES", "ENOSYS"})
_ABSENT = frozenset({"ENOENT", "EACCES"})
_NONE = frozenset({"refused"})

# Addresses kept for documentation: on a host with a leak, nobody is disturbed.
INTERNET, RESOLVER, INTERNET6 = "203.0.113.1", "203.0.113.53", "2001:db8::1"
METADATA, PRIVATE, PRIVATE6, LOCAL_RESOLVER = (
    "169.254.169.254",
    "10.255.255.1",
    "fd00:db8::1",
    "127.0.0.53",
)
ANSWERING = [INTERNET, RESOLVER, INTERNET6, METADATA, PRIVATE, PRIVATE6, LOCAL_RESOLVER]
"""Addresses that the control's small internet answers at."""
PORTS = [53, 80, 443, 853]

NETWORK = (
    Probe("net-interfaces", "1", "find an interface besides lo", "interfaces", _NONE),
    Probe("net-routes", "1", "find a route besides lo", "routes", _NONE),
    Probe(
        "net-internet-tcp",
        "1",
        f"connect to the internet ({INTERNET}:443, TCP)",
        "tcp",
        _NO_ROUTE,
        {"address": INTERNET, "port": 443},
        control=_NET,
    ),
    Probe(
        "net-internet-udp",
        "1",
        f"find a route to the internet ({INTERNET}, UDP)",
        "udp_route",
        _NO_ROUTE,
        {"address": INTERNET, "port": 443},
        control=_NET,
    ),
    Probe(
        "net-private-range",
        "1",
        f"connect to a private address ({PRIVATE}:443)",
        "tcp",
        _NO_ROUTE,
        {"address": PRIVATE, "port": 443},
        control=_NET,
    ),
    Probe(
        "net-metadata",
        "1",
        f"connect to the cloud's metadata service ({METADATA}:80)",
        "tcp",
        _NO_ROUTE,
        {"address": METADATA, "port": 80},
        control=_NET,
    ),
    Probe(
        "net-host-address",
        "1",
        "find a route to the host's own address",
        "udp_route",
        _NO_ROUTE,
        {"address": "$host_address", "port": 22},
    ),
    Probe(
        "net-host-loopback",
        "1",
        "connect to a service on the host's loopback",
        "tcp",
        _NOBODY,
        {"address": "127.0.0.1", "port": "$host_port"},
    ),
    Probe(
        "net-multicast",
        "1",
        "find a route for multicast (224.0.0.251)",
        "udp_route",
        _NO_ROUTE,
        {"address": "224.0.0.251", "port": 5353},
        control=_NET,
    ),
    Probe(
        "net-dns-name",
        "2",
        "resolve a name of the internet",
        "resolve",
        frozenset({"EAI_AGAIN", "EAI_NONAME", "EAI_FAIL", "EAI_NODATA"}),
        {"name": "carrel-probe.example"},
        control=_NET,
        seconds=3.0,
    ),
    Probe(
        "net-dns-udp",
        "2",
        f"find a route to a public resolver ({RESOLVER}:53)",
        "udp_route",
        _NO_ROUTE,
        {"address": RESOLVER, "port": 53},
        control=_NET,
    ),
    Probe(
        "net-dns-tls",
        "2",
        f"connect to DNS over TLS ({RESOLVER}:853)",
        "tcp",
        _NO_ROUTE,
        {"address": RESOLVER, "port": 853},
        control=_NET,
    ),
    Probe(
        "net-dns-local",
        "2",
        f"connect to the host's resolver ({LOCAL_RESOLVER}:53)",
        "tcp",
        _NOBODY,
        {"address": LOCAL_RESOLVER, "port": 53},
        control=_NET,
    ),
    Probe(
        "net-ipv6-internet",
        "3",
        f"connect over IPv6 ({INTERNET6})",
        "tcp",
        _NO_ROUTE,
        {"address": INTERNET6, "port": 443},
        control=_NET,
    ),
    Probe(
        "net-ipv6-private",
        "3",
        f"find a route to a private IPv6 address ({PRIVATE6})",
        "udp_route",
        _NO_ROUTE,
        {"address": PRIVATE6, "port": 443},
        control=_NET,
    ),
    Probe(
        "net-ipv6-multicast",
        "3",
        "find a route for IPv6 multicast (ff0e::1)",
        "udp_route",
        _NO_ROUTE,
        {"address": "ff0e::1", "port": 5353},
        control=_NET,
    ),
    Probe(
        "net-icmp-raw",
        "4",
        "open a raw ICMP socket",
        "socket_of",
        _FILTERED,
        {"family": socket.AF_INET, "type": socket.SOCK_RAW, "proto": socket.IPPROTO_ICMP},
    ),
    Probe(
        "net-icmp6-raw",
        "4",
        "open a raw ICMPv6 socket",
        "socket_of",
        _FILTERED,
        {"family": socket.AF_INET6, "type": socket.SOCK_RAW, "proto": socket.IPPROTO_ICMPV6},
    ),
    Probe(
        "net-packets",
        "5",
        "open a packet socket, to send any frame",
        "socket_of",
        _FILTERED,
        {"family": 17, "type": socket.SOCK_RAW},
    ),
    Probe(
        "net-new-address",
        "5",
        "give an interface another address",
        "add_address",
        _NOT_ADMIN,
        control=_NET,
    ),
    Probe("net-mark", "5", "mark packets for another route", "socket_mark", _NOT_ADMIN),
    Probe(
        "net-low-port",
        "5",
        "listen on a port below 1024",
        "low_port",
        _NOT_ADMIN,
        {"port": 81},
        control=_NET,
    ),
    Probe(
        "net-abstract-socket",
        "6",
        "connect to an abstract socket of the host",
        "unix_abstract",
        _NOBODY,
        {"name": "$abstract"},
    ),
    Probe(
        "net-host-socket",
        "6",
        "connect to a socket file of the host",
        "unix_path",
        _ABSENT,
        {"path": "$socket_path"},
    ),
    Probe(
        "net-vsock",
        "7",
        "ask for a socket to the hypervisor (AF_VSOCK)",
        "socket_of",
        _FILTERED,
        {"family": 40},
    ),
    Probe(
        "net-crypto-socket",
        "8",
        "ask for a socket to the kernel's ciphers (AF_ALG)",
        "socket_of",
        _FILTERED,
        {"family": 38, "type": socket.SOCK_SEQPACKET},
    ),
    Probe(
        "net-other-families",
        "8",
        "ask for a socket of any other family",
        "any_other_family",
        _NONE,
    ),
    Probe(
        "net-io-uring",
        "8",
        "set up io_uring, which a filter cannot see into",
        "io_uring",
        _FILTERED,
    ),
    Probe(
        "net-foreign-abi", "9", "make a 32-bit system call", "foreign_abi", frozenset({"SIGSYS"})
    ),
    Probe(
        "net-new-namespace",
        "10",
        "make a network namespace of its own",
        "new_namespace",
        _FILTERED,
        {"flags": 0x40000000},
    ),
    Probe(
        "net-new-user-namespace",
        "10",
        "become administrator of a new user namespace",
        "new_namespace",
        _FILTERED | {"EINVAL", "ENOSPC"},
        {"flags": 0x10000000},
    ),
    Probe(
        "net-clone",
        "10",
        "the same with clone",
        "clone_namespace",
        _FILTERED | {"ENOSPC"},
    ),
    Probe(
        "net-clone3",
        "10",
        "the same with clone3",
        "clone3_namespace",
        _FILTERED | {"ENOSPC"},
    ),
    Probe(
        "net-enter-namespace",
        "11",
        "enter another process's network namespace",
        "enter_namespace",
        _NOT_ADMIN | _ABSENT,
        {"path": "$namespace"},
    ),
)
