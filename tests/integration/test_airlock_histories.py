"""Whatever people do in whatever order: does anything cross that nobody else approved?"""

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from carrel.airlock.rules import FINAL, MOVES, Direction, Status
from carrel.airlock.rules.requests import canonical, digest
from carrel.core.actors import WorkspaceRole
from carrel.core.errors import CarrelError
from tests.airlock import SAFE_TABLE, SMALL_TABLE, Bench
from tests.factories import make_database

PEOPLE = ("author", "colleague", "owner", "reviewer", "both", "stranger")


def _review(bench, who, request, *, approve=True):
    bench.airlock.review(
        who,
        request.id,
        approve=approve,
        explanation="because",
        seen_manifest_sha256=request.manifest_sha256,
    )


def _release(bench, who, request):
    ticket = bench.airlock.release_ticket(who, request.id)
    bench.left.append(bench.downloaded(who, ticket.token))


ACTS = {
    "add": lambda b, who, r: b.airlock.add_file(who, r.id, "table.csv", [SMALL_TABLE]),
    "collect": lambda b, who, r: b.airlock.add_from_outbox(who, r.id, ["table.csv"]),
    "remove": lambda b, who, r: b.airlock.remove_file(who, r.id, "table.csv"),
    "submit": lambda b, who, r: b.airlock.submit(who, r.id),
    "cancel": lambda b, who, r: b.airlock.cancel(who, r.id),
    "return": lambda b, who, r: b.airlock.return_to_author(who, r.id, "change it"),
    "approve": lambda b, who, r: _review(b, who, r, approve=True),
    "approve stale": lambda b, who, r: _review(b, who, replace(r, manifest_sha256="0" * 64)),
    "reject": lambda b, who, r: _review(b, who, r, approve=False),
    "revoke": lambda b, who, r: b.airlock.revoke(who, r.id, "a mistake"),
    "release": _release,
    "work": lambda b, who, r: b.run_work(),
    "change outbox": lambda b, who, r: b.runtime.put_outbox(b.workspace, "table.csv", SMALL_TABLE),
}
LIKELY = ("submit", "work", "approve", "work", "release")


WHOLE_STORY = [
    ("both", "approve"),
    ("author", "submit"),
    ("author", "approve"),
    ("both", "work"),
    ("author", "approve"),
    ("reviewer", "approve stale"),
    ("reviewer", "return"),
    ("author", "submit"),
    ("author", "work"),
    ("author", "release"),
    ("both", "approve"),
    ("reviewer", "reject"),
    ("author", "work"),
    ("colleague", "release"),
    ("author", "release"),
    ("reviewer", "revoke"),
    ("author", "work"),
    ("author", "release"),
]


def check(bench: Bench, request_id: str) -> None:
    """The promises that must hold after every act."""
    request = bench.airlock.get(bench.author, request_id)
    approvals = [
        review
        for review in request.reviews
        if review.decision == "approved" and review.manifest_sha256 == request.manifest_sha256
    ]
    assert all(review.reviewer_id != bench.author.id for review in request.reviews)
    crossed = request.status in {Status.APPROVED, Status.REVOKED}
    assert bool(approvals) or not (crossed or bench.left)
    assert all((entry.old, entry.new) in MOVES for entry in request.history)
    assert [e.old for e in request.history[1:]] == [e.new for e in request.history[:-1]]
    assert not [e for e in request.history if e.old in FINAL]
    if request.type is Direction.IMPORT:
        assert not bench.left
        assert crossed or not bench.runtime.inbox(bench.workspace)
    else:
        assert not bench.runtime.inbox(bench.workspace)
    for content in bench.left:
        assert digest(content.decode()) in {file.sha256 for file in request.files}
    if request.seal:
        manifest = bench.airlock.get_manifest(bench.author, request_id)
        assert digest(manifest) == request.manifest_sha256
        assert canonical(request.id)[1:-1] in manifest


@settings(max_examples=25, deadline=None)
@given(
    direction=st.sampled_from(list(Direction)),
    steps=st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.sampled_from([*ACTS, *LIKELY])), max_size=25
    ),
)
@example(direction=Direction.EXPORT, steps=WHOLE_STORY)
@example(direction=Direction.IMPORT, steps=WHOLE_STORY)
def test_no_history_lets_anything_cross_without_somebody_elses_approval(direction, steps):
    with tempfile.TemporaryDirectory() as folder:
        database = make_database(Path(folder))
        bench = Bench(database)
        bench.left = []
        bench.both = replace(
            bench.colleague, workspace_roles={bench.workspace: frozenset(WorkspaceRole)}
        )
        bench.author = replace(
            bench.author, workspace_roles={bench.workspace: frozenset(WorkspaceRole)}
        )
        request = bench.draft(direction.value, table__csv=SAFE_TABLE)
        for who, act in steps:
            seen = bench.airlock.get(bench.author, request.id)
            with suppress(CarrelError):
                ACTS[act](bench, getattr(bench, who), seen)
            check(bench, request.id)
        if steps is WHOLE_STORY:  # so that the promises are known to be tried on a release
            assert bool(bench.left) is (direction is Direction.EXPORT)
            assert bench.airlock.get(bench.author, request.id).status is Status.REVOKED
        database.close()
