"""Can any history of actors release a file without the reviews that its policy wants?

Random histories: everybody tries everything, in any order; reviewers lose and regain their role.
After each step the rows are asked, by means of their own and not by the service's.
"""

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from carrel.airlock import tables
from carrel.airlock.rules import Status
from carrel.airlock.rules.policies import PolicyChoices
from carrel.airlock.rules.reviews import Decision, Vote
from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.errors import CarrelError
from carrel.core.ids import new_id
from tests.airlock import SAFE_TABLE, Bench, person
from tests.factories import make_database

PEOPLE = ("author", "colleague", "owner", "stranger", "first", "second", "third", "both")
OUT = {Status.APPROVING, Status.APPROVED, Status.REVOKED}
NAMES = ("one.csv", "two.csv")
M = WorkspaceRole.AIRLOCK_MANAGER


class Histories(RuleBasedStateMachine):
    """One request, eight people, and everything that each of them could try."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = make_database(Path(self.folder.name))
        self.bench = Bench(self.database)
        self.who = {
            "author": person(self.bench.workspace, *WorkspaceRole),
            "colleague": self.bench.colleague,
            "owner": self.bench.owner,
            "stranger": self.bench.stranger,
            "first": self.bench.reviewer,
            "second": person(self.bench.workspace, M),
            "third": person(self.bench.workspace, M),
            "both": person(self.bench.workspace, WorkspaceRole.RESEARCHER, M),
        }
        self.bench.author = self.who["author"]
        self.whole = dict(self.who)
        self.bench.people = {each.id: each for each in self.who.values()}
        self.admin = Actor(id=new_id(), name="Ada", tre_roles=frozenset({TreRole.ADMIN}))

    reached = 0
    """How many histories came as far as a release: a check of the check."""

    def teardown(self):
        status = self.bench.airlock.get(self.whole["author"], self.id).status
        Histories.reached += status in OUT
        self.database.close()
        self.folder.cleanup()

    @initialize(needed=st.sampled_from((1, 2)), blinded=st.booleans(), members=st.booleans())
    def begin(self, needed, blinded, members):
        self.needed, self.members = needed, members
        choices = PolicyChoices(
            reviewers=needed, blinded=blinded and needed == 2, members_may_review=members
        )
        self.bench.airlock.write_policy(self.admin, self.bench.workspace, choices, seen_version=0)
        files = {"one__csv": SAFE_TABLE, "two__csv": SAFE_TABLE}
        self.id = self.bench.draft("export", **files).id
        self.submit("author")
        self.work()

    def attempt(self, act, *arguments, **named):
        with contextlib.suppress(CarrelError):
            act(*arguments, **named)

    @rule(who=st.sampled_from(PEOPLE))
    def submit(self, who):
        self.attempt(self.bench.airlock.submit, self.who[who], self.id)

    @rule()
    def work(self):
        self.bench.run_work()

    @rule(
        who=st.sampled_from(PEOPLE), name=st.sampled_from(NAMES),
        vote=st.sampled_from((*Vote, None)),
    )  # fmt: skip
    def vote(self, who, name, vote):
        self.attempt(self.bench.airlock.cast_vote, self.who[who], self.id, name, vote)

    @rule(who=st.sampled_from(PEOPLE), approve=st.booleans())
    def review(self, who, approve):
        self.attempt(
            self.bench.airlock.review, self.who[who], self.id, approve=approve, explanation="So"
        )

    @rule(who=st.sampled_from(("first", "second", "third", "both")))
    def review_in_good_faith(self, who):
        self.review_all(who)

    @rule(who=st.sampled_from(("first", "second", "third", "both")))
    def approve_in_good_faith(self, who):
        self.decide(who, Decision.APPROVE)
        self.work()

    @rule(who=st.sampled_from(PEOPLE))
    def review_all(self, who):
        for name in NAMES:
            self.attempt(self.bench.airlock.cast_vote, self.who[who], self.id, name, Vote.APPROVED)
        self.attempt(self.bench.airlock.submit_review, self.who[who], self.id, "So")

    @rule(who=st.sampled_from(PEOPLE), decision=st.sampled_from(Decision))
    def decide(self, who, decision):
        self.attempt(self.bench.airlock.decide, self.who[who], self.id, decision, "So")

    @rule(who=st.sampled_from(PEOPLE))
    def revoke(self, who):
        self.attempt(self.bench.airlock.revoke, self.who[who], self.id, "So")

    @rule(name=st.sampled_from(NAMES), number=st.integers(10, 99))
    def replace_file(self, name, number):
        content = b"group,n\nold,1%d\n" % number
        self.bench.runtime.put_outbox(self.bench.workspace, name, content)
        self.attempt(self.bench.airlock.add_from_outbox, self.who["author"], self.id, [name])

    @rule(who=st.sampled_from(("first", "second", "both")))
    def lose_or_regain_role(self, who):
        now = self.who[who]
        back = not now.workspace_roles
        self.who[who] = self.whole[who] if back else replace(now, workspace_roles={})
        self.bench.people[now.id] = self.who[who]

    @invariant()
    def nothing_leaves_without_its_reviews(self):
        request = self.bench.airlock.get(self.whole["author"], self.id)
        if request.status not in OUT:
            return
        table = tables.reviews
        query = select(table).where(table.c.request_id == self.id, table.c.seal == request.seal)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        approved = {row.reviewer_id for row in rows if row.decision == "approved"}
        assert len(approved) >= self.needed
        allowed = {self.whole[who].id for who in ("first", "second", "third")}
        allowed |= {self.whole["both"].id} if self.members else set()
        assert approved <= allowed
        assert {row.manifest_sha256 for row in rows} == {request.manifest_sha256}

    @invariant()
    def every_download_was_approved(self):
        request = self.bench.airlock.get(self.whole["author"], self.id)
        try:
            ticket = self.bench.airlock.release_ticket(self.whole["author"], self.id)
        except CarrelError:
            return
        assert request.status is Status.APPROVED
        assert ticket.token


_BOUNDS = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def test_no_history_releases_without_its_reviews():
    run_state_machine_as_test(Histories, settings=_BOUNDS)
    assert Histories.reached, "no history came as far as a release: nothing was tested"
