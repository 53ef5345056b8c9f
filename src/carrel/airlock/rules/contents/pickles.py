"""Is a file a pickle or a model? Found by its content, never by loading it."""

import pickletools
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from carrel.airlock.rules.requests import Finding, Severity

_LOOK_BYTES = 2**20
_LEAST_STEPS = 2
_MODERN = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def is_pickle(beginning: bytes) -> bool:
    """Whether a file that begins like this is a pickle, of whatever protocol.

    Protocols 2 to 5 say so; 0 and 1 are sequences of steps that end in a full stop.
    """
    if beginning.startswith(_MODERN):
        return True
    steps = 0
    try:
        for opcode, _, _ in pickletools.genops(beginning[:_LOOK_BYTES]):
            steps += 1
            if opcode.name == "STOP":
                return steps > _LEAST_STEPS
    except Exception:  # noqa: BLE001 - genops fails in many ways on what is no pickle
        return False
    return False


# Models ---------------------------------------------------------------------------------------

REPORT = ("records", "parameters", "membership_advantage")
"""What a risk report says: records trained on, parameters, and how much better than chance an
attacker tells members from others (0 to 1)."""
ADVANTAGE_LIMIT = 0.1
_HEADER_LIMIT = 16 * 2**20


def check_safetensors(content: bytes, report: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Count a model's parameters, and hold them against the risk report that came with it."""
    try:
        parameters = _parameters(content)
    except (ValueError, KeyError, TypeError, struct.error):
        yield Finding("unreadable", Severity.CANNOT_TELL, "The file is not a safetensors model.")
        return
    if report is None:
        yield Finding(
            "no_risk_report",
            Severity.CANNOT_TELL,
            "A model leaves with a risk report only: describe the file with `model`, holding "
            f"{', '.join(REPORT)}.",
        )
        return
    yield from _weigh(parameters, report)


def _parameters(content: bytes) -> int:
    (size,) = struct.unpack_from("<Q", content)
    if size > _HEADER_LIMIT or 8 + size > len(content):
        raise ValueError("the header is longer than the file")
    header = orjson.loads(content[8 : 8 + size])
    count = end = 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        first, last = tensor["data_offsets"]
        if first != end or last < first:
            raise ValueError("there is something between the tensors")
        length = 1
        for side in tensor["shape"]:
            length *= int(side)
        count, end = count + length, last
    if 8 + size + end != len(content):
        raise ValueError("there is something after the tensors")
    return count


def _weigh(parameters: int, report: Mapping[str, Any]) -> Iterator[Finding]:
    records, advantage = int(report["records"]), float(report["membership_advantage"])
    yield Finding(
        "model",
        Severity.CHECK,
        f"This is a model of {parameters} parameters, trained on {records} records as its author "
        "says; read the risk report.",
    )
    if int(report["parameters"]) != parameters:
        yield Finding(
            "model_misfit", Severity.FLAG, "The risk report counts other parameters than there are."
        )
    if parameters >= records:
        yield Finding(
            "model_capacity",
            Severity.FLAG,
            "The model has at least as many parameters as records, so it can hold them.",
        )
    if advantage > ADVANTAGE_LIMIT:
        yield Finding(
            "membership_inference",
            Severity.FLAG,
            f"An attacker tells its members from others {advantage:.0%} better than chance, as its "
            f"author measured; {ADVANTAGE_LIMIT:.0%} is the limit.",
        )
