"""How are the airlock's states drawn in the docs? Run `python -m carrel.airlock.diagram`."""

from pathlib import Path

from carrel.airlock.rules.states import DEADLINES, MOVES, OWNERS, Status, diagram

BEGIN = "<!-- drawn by: python -m carrel.airlock.diagram -->"
END = "<!-- end -->"
DOCUMENT = Path(__file__).parents[3] / "docs/explanation/airlock.md"


def generated() -> str:
    """Return the part of the document that is drawn from the tables."""
    rows = [
        f"| {status.words} | {_turn(status)} | {_leads_to(status)} | {_limit(status)} |"
        for status in Status
    ]
    table = ["| Status | Whose turn | May become | At the latest |", "| --- | --- | --- | --- |"]
    return "\n".join(
        [BEGIN, "", "```mermaid", diagram().rstrip(), "```", "", *table, *rows, "", END]
    )


def _turn(status: Status) -> str:
    return str(OWNERS[status] or "nobody")


def _leads_to(status: Status) -> str:
    ways = [f"{new.words} ({who})" for (old, new), who in MOVES.items() if old is status]
    return ", ".join(ways) or "nothing: it is final"


def _limit(status: Status) -> str:
    deadline = DEADLINES.get(status)
    if deadline is None:
        return ""
    return f"{deadline.seconds // 3600} h, then {deadline.then.words}"


def renewed(text: str) -> str:
    """Return the document with its drawn part renewed."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return before + generated() + after


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
