"""Does the document show the states that the program has?"""

from carrel.airlock import diagram
from carrel.airlock.rules import MOVES, Status


def test_the_picture_of_the_states_is_up_to_date():
    text = diagram.DOCUMENT.read_text()
    assert diagram.renewed(text) == text, "run: python -m carrel.airlock.diagram"


def test_every_state_and_move_is_in_the_picture():
    picture = diagram.generated()
    assert all(f"| {status.words} |" in picture for status in Status)
    assert all(f"{old} --> {new}: {who}" in picture for (old, new), who in MOVES.items())
