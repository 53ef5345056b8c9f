"""How good are the scanners on 500 files of every kind, half of them clean?

Caught is a planted file that does not pass unmarked: it is flagged, cannot be told, or blocked. A
false block is a clean file that a reviewer would not get to see, or would need a reason for.
"""

import io
import random
from collections import Counter

from carrel.airlock.ports import Subject
from carrel.airlock.rules import AirlockPolicy, Severity, verdict_of
from carrel.airlock.scanners import standard_scanners
from tests.corpus.making import CLEAN, PLANTED, Kind

TYPES = (
    ".csv", ".tsv", ".txt", ".md", ".png", ".jpg", ".jpeg", ".ipynb", ".json", ".html", ".pdf",
    ".xlsx", ".docx", ".pptx", ".safetensors", ".pkl", ".npy", ".svg", ".parquet", ".zip",
)  # fmt: skip
"""More than any site would allow: a policy must not open what nothing examines."""
EACH = 250
CAUGHT = {Severity.FLAG, Severity.CANNOT_TELL, Severity.BLOCK}
GOAL_FALSE = 0.02


def subject(kind: Kind, content: bytes, number: int) -> Subject:
    return Subject(
        name=f"file{number}{kind.suffix}",
        direction=kind.direction,
        size_bytes=len(content),
        sha256="0" * 64,
        open=lambda: io.BytesIO(content),
        policy=AirlockPolicy(export_types=TYPES),
    )


def examined(kinds: list[Kind], pick: random.Random):
    scanners = standard_scanners()
    for number in range(EACH):
        kind = kinds[number % len(kinds)]
        content = kind.make(pick)
        looked_at = subject(kind, content, number)
        found = [each for scanner in scanners for each in scanner.examine(looked_at)]
        yield kind, verdict_of(found), found


def test_every_planted_file_is_caught_and_clean_ones_pass():
    pick = random.Random(20_261_124)
    made, caught, wrong = Counter(), Counter(), []
    for kind, verdict, found in [*examined(CLEAN, pick), *examined(PLANTED, pick)]:
        made[kind.name] += 1
        caught[kind.name] += verdict in CAUGHT
        if (verdict in CAUGHT) != kind.is_planted:
            wrong.append((kind.name, [f"{each.rule}: {each.sentence}" for each in found]))
    for kind in [*CLEAN, *PLANTED]:
        what = "planted" if kind.is_planted else "clean"
        print(f"{kind.name:28} {what:8} {caught[kind.name]:3} of {made[kind.name]:3} caught")
    missed = [one for one in wrong if one[0] in {kind.name for kind in PLANTED}]
    falsely = [one for one in wrong if one not in missed]
    print(f"planted misses: {len(missed)}; false blocks: {len(falsely)} of {EACH} clean files")
    assert sum(made.values()) == 2 * EACH
    assert all(made[kind.name] for kind in [*CLEAN, *PLANTED])
    assert not missed, missed[:10]
    assert len(falsely) <= GOAL_FALSE * EACH, falsely[:10]
