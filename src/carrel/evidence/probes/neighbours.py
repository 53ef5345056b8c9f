"""Which ways lead to a neighbour, or take more than one's share?"""

from carrel.evidence.rules import Place, Probe

_NO_READ = frozenset({"EACCES", "EPERM", "ENOENT", "ENXIO"})
_NONE = frozenset({"refused"})
_ABSENT = frozenset({"ENOENT"})
_HELD = frozenset({"ENOSPC", "EDQUOT"})
_FULL_OR_KILLED = _HELD | {"SIGKILL"}


def _neighbours(place: Place, who: str) -> tuple[Probe, ...]:
    """Return what is attempted against a neighbour: another member, another workspace."""
    return (
        Probe(
            f"{place}-home",
            "40",
            f"open a file in the home of {who}",
            "read_file",
            _NO_READ,
            {"path": "$home_file"},
            place,
        ),
        Probe(
            f"{place}-search",
            "40",
            f"find a private file of {who} anywhere",
            "find_file",
            _NONE,
            {"name": "$home_file_name"},
            place,
        ),
        Probe(
            f"{place}-tmp",
            "47",
            f"open a temporary file of {who}",
            "read_file",
            _ABSENT,
            {"path": "$tmp_file"},
            place,
        ),
        Probe(
            f"{place}-memory",
            "35",
            f"open shared memory of {who}",
            "read_file",
            _ABSENT,
            {"path": "$memory_file"},
            place,
        ),
        Probe(
            f"{place}-process",
            "39",
            f"see a process of {who}",
            "find_process",
            _NONE,
            {"token": "$process_token"},
            place,
        ),
    )


NEIGHBOURS = (
    *_neighbours(Place.MEMBER, "another member"),
    *_neighbours(Place.WORKSPACE, "another workspace's member"),
    Probe(
        "workspace-shared",
        "40",
        "find the other workspace's shared file anywhere",
        "find_file",
        _NONE,
        {"name": "$shared_file_name"},
        Place.WORKSPACE,
    ),
    Probe(
        "workspace-service",
        "1",
        "connect to a service of another workspace",
        "tcp",
        frozenset({"ECONNREFUSED"}),
        {"address": "127.0.0.1", "port": "$port"},
        Place.WORKSPACE,
    ),
    Probe(
        "workspace-abstract-socket",
        "6",
        "connect to an abstract socket of another workspace",
        "unix_abstract",
        frozenset({"ECONNREFUSED"}),
        {"name": "$abstract"},
        Place.WORKSPACE,
    ),
)

MEMORY_MIB, BIG_MIB = 128, 320
PROCESSES, MANY_PROCESSES = 48, 200
PROCESSORS = 0.1
DISK_MIB, MANY_NAMES = 48, 20_000

LIMITED = (
    Probe(
        "limit-memory",
        "42",
        f"take {BIG_MIB} MiB with {MEMORY_MIB} MiB allowed",
        "take_memory",
        frozenset({"SIGKILL"}),
        {"mib": BIG_MIB},
        Place.LIMITED,
        seconds=8.0,
    ),
    Probe(
        "limit-processes",
        "43",
        f"start {MANY_PROCESSES} processes with {PROCESSES} allowed",
        "take_processes",
        _NONE,
        {"count": MANY_PROCESSES},
        Place.LIMITED,
        seconds=8.0,
    ),
    Probe(
        "limit-processor",
        "44",
        f"use every processor with {PROCESSORS} of one allowed",
        "take_processor",
        _NONE,
        {"seconds": 2.0, "share": 0.18, "spinners": 8},
        Place.LIMITED,
        seconds=12.0,
    ),
    Probe(
        "limit-disk",
        "45",
        f"write 96 MiB to a workspace of {DISK_MIB} MiB",
        "take_disk",
        _HELD,
        {"mib": 96, "folder": "$home"},
        Place.LIMITED,
        seconds=15.0,
    ),
    Probe(
        "limit-names",
        "46",
        f"make {MANY_NAMES} empty files",
        "take_names",
        _HELD,
        {"count": MANY_NAMES, "folder": "$names_folder"},
        Place.LIMITED,
        seconds=15.0,
    ),
    Probe(
        "limit-tmp",
        "47",
        f"write {BIG_MIB} MiB to /tmp",
        "take_disk",
        _FULL_OR_KILLED,
        {"mib": BIG_MIB, "folder": "$tmp"},
        Place.LIMITED,
        seconds=8.0,
    ),
    Probe(
        "limit-shared-memory",
        "47",
        f"write {BIG_MIB} MiB to /dev/shm",
        "take_disk",
        _FULL_OR_KILLED,
        {"mib": BIG_MIB, "folder": "$memory_folder"},
        Place.LIMITED,
        seconds=8.0,
    ),
    Probe(
        "limit-output",
        "48",
        "fill the host's disk with printed output",
        "flood_output",
        _NONE,
        {"mib": 96},
        Place.LIMITED,
        seconds=12.0,
    ),
)

REMAINS = (
    Probe(
        "nothing-left",
        "46",
        "leave anything on the host after the workspace is removed",
        "leftovers",
        _NONE,
        place=Place.HOST,
    ),
)
