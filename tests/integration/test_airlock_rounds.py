"""Do reviews by several people keep the rules of OpenSAFELY's airlock?

The names count the invariants of the reference (output-checking, 3.3); those that are not here
hold elsewhere: 1 and 4 in test_airlock_states and test_airlock_service, 16, 18 and 21 in
test_airlock_service, 19 in test_airlock_names, 20 in test_airlock_service, 22 in
test_airlock_http. 17 has no counterpart: Carrel's requests have no supporting files.
"""

from dataclasses import replace

import pytest

from carrel.airlock.rules import Status
from carrel.airlock.rules.policies import PolicyChoices
from carrel.airlock.rules.requests import AirlockPolicy
from carrel.airlock.rules.reviews import Decision, FileGroup, Outcome, Turn, Vote
from carrel.airlock.rules.states import IllegalMove
from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotFound
from carrel.core.ids import new_id
from tests.airlock import SAFE_TABLE, Bench, person

OTHER_TABLE = b"group,n\nold,125\nyoung,90\n"
BY_TWO = PolicyChoices(reviewers=2, blinded=True)
YES, NO = Vote.APPROVED, Vote.CHANGES_REQUESTED


@pytest.fixture
def bench(database):
    made = Bench(database)
    made.admin = Actor(id=new_id(), name="Ada", tre_roles=frozenset({TreRole.ADMIN}))
    made.second = person(made.workspace, WorkspaceRole.AIRLOCK_MANAGER)
    made.third = person(made.workspace, WorkspaceRole.AIRLOCK_MANAGER)
    made.people |= {each.id: each for each in (made.second, made.third, made.admin)}
    decide_on(made, BY_TWO)
    return made


def decide_on(bench, choices):
    version = bench.airlock.workspace_policy(bench.admin, bench.workspace).version
    return bench.airlock.write_policy(bench.admin, bench.workspace, choices, seen_version=version)


def in_review(bench):
    return bench.in_review("export", one__csv=SAFE_TABLE, two__csv=OTHER_TABLE)


def vote(bench, who, request, *, one=YES, two=YES):
    bench.airlock.cast_vote(who, request.id, "one.csv", one)
    bench.airlock.cast_vote(who, request.id, "two.csv", two)


def reviewed_by(bench, who, request, *, one=YES, two=YES, words="I looked at both"):
    vote(bench, who, request, one=one, two=two)
    return bench.airlock.submit_review(who, request.id, words, request.manifest_sha256)


def decide(bench, who, request, decision, words="We agree"):
    return bench.airlock.decide(who, request.id, decision, words, request.manifest_sha256)


def reviewed(bench, **votes):
    """Return a request that two people have reviewed; `votes` are the second one's."""
    request = in_review(bench)
    reviewed_by(bench, bench.reviewer, request)
    return reviewed_by(bench, bench.second, request, **votes)


def status(bench, request):
    return bench.airlock.get(bench.author, request.id).status


def at(bench, who, request):
    return bench.airlock.bench(who, request.id)


# The whole way ------------------------------------------------------------------------------------


def test_two_approve_and_it_leaves(bench):
    request = in_review(bench)
    one = reviewed_by(bench, bench.reviewer, request)
    assert (one.status, one.status.azuretre) == (Status.PARTIALLY_REVIEWED, Status.IN_REVIEW)
    two = reviewed_by(bench, bench.second, request)
    assert two.status is Status.REVIEWED
    assert two.reviews == ()
    decided = decide(bench, bench.second, request, Decision.APPROVE)
    assert decided.status is Status.APPROVING
    bench.run_work()
    done = bench.airlock.get(bench.author, request.id)
    assert done.status is Status.APPROVED
    assert {review.reviewer_id for review in done.reviews} == {bench.reviewer.id, bench.second.id}
    assert {review.decision for review in done.reviews} == {"approved"}
    assert "airlock.reviews_ended" in bench.events(request)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    assert b"120" in bench.downloaded(bench.author, ticket.token, as_archive=True)


def test_one_reviewer_cannot_decide_alone(bench):
    request = in_review(bench)
    for decision in (Decision.APPROVE, Decision.REJECT):
        with pytest.raises(IllegalMove, match="needs 2 reviews"):
            decide(bench, bench.reviewer, request, decision)
    reviewed_by(bench, bench.reviewer, request)
    for decision in (Decision.APPROVE, Decision.REJECT):
        with pytest.raises(IllegalMove):
            decide(bench, bench.reviewer, request, decision)
    assert status(bench, request) is Status.PARTIALLY_REVIEWED


def test_azuretres_clients_review_with_their_one_call(bench):
    request = in_review(bench)
    assert bench.approve(request).status is Status.PARTIALLY_REVIEWED
    seen = request.manifest_sha256
    review = {"approve": True, "explanation": "Fine", "seen_manifest_sha256": seen}
    assert bench.airlock.review(bench.second, request.id, **review).status is Status.REVIEWED
    assert bench.airlock.review(bench.second, request.id, **review).status is Status.APPROVING
    bench.run_work()
    assert status(bench, request) is Status.APPROVED


def test_a_second_call_before_the_others_is_no_second_review(bench):
    request = in_review(bench)
    bench.approve(request)
    with pytest.raises(IllegalMove):
        bench.approve(request)
    assert status(bench, request) is Status.PARTIALLY_REVIEWED


# Invariants ---------------------------------------------------------------------------------------


def test_02_submission_needs_context_and_controls_where_the_policy_says_so(bench):
    decide_on(bench, replace(BY_TWO, context_required=True))
    request = bench.draft("export", one__csv=SAFE_TABLE, two__csv=OTHER_TABLE)
    with pytest.raises(InvalidRequest, match="into a group"):
        bench.airlock.submit(bench.author, request.id)
    group = FileGroup("Tables", ("one.csv", "two.csv"), "Pupils by age", "")
    bench.airlock.write_group(bench.author, request.id, group)
    with pytest.raises(InvalidRequest, match="controls"):
        bench.airlock.submit(bench.author, request.id)
    bench.airlock.write_group(bench.author, request.id, replace(group, controls="Rounded to 5"))
    assert bench.airlock.submit(bench.author, request.id).status is Status.SUBMITTED


def returned_with_a_group(bench):
    request = bench.draft("export", one__csv=SAFE_TABLE, two__csv=OTHER_TABLE)
    group = FileGroup("Tables", ("two.csv",), "Pupils by age", "Rounded to 5")
    bench.airlock.write_group(bench.author, request.id, group)
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    request = bench.airlock.get(bench.author, request.id)
    for who in (bench.reviewer, bench.second):
        bench.airlock.add_comment(who, request.id, "Row 3 is odd", group="Tables")
        reviewed_by(bench, who, request, two=NO)
    bench.airlock.add_comment(
        bench.second, request.id, "Say what row 3 is", group="Tables", is_public=True
    )
    return decide(bench, bench.second, request, Decision.RETURN, "See the group")


def test_03_resubmission_needs_an_answer_on_each_group_with_requested_changes(bench):
    request = returned_with_a_group(bench)
    with pytest.raises(InvalidRequest, match="Say in a comment on it"):
        bench.airlock.submit(bench.author, request.id)
    with pytest.raises(Conflict, match="Answer in a comment"):
        bench.airlock.drop_group(bench.author, request.id, "Tables")
    bench.airlock.add_comment(bench.author, request.id, "It is a sum", group="Tables")
    assert bench.airlock.submit(bench.author, request.id).status is Status.SUBMITTED


def test_04_an_author_with_every_role_never_reviews_their_own(bench):
    bench.author = person(bench.workspace, *WorkspaceRole)
    bench.people[bench.author.id] = bench.author
    request = in_review(bench)
    with pytest.raises(Denied, match="You raised this request"):
        bench.airlock.cast_vote(bench.author, request.id, "one.csv", YES)
    with pytest.raises(Denied):
        bench.airlock.submit_review(bench.author, request.id, "Fine")
    with pytest.raises(Denied):
        decide(bench, bench.author, request, Decision.APPROVE)


def test_05_a_review_needs_a_vote_on_every_file_and_words_on_every_objection(bench):
    request = in_review(bench)
    bench.airlock.cast_vote(bench.reviewer, request.id, "one.csv", YES)
    with pytest.raises(InvalidRequest, match=r"Vote on every file first; 1 are left.*two\.csv"):
        bench.airlock.submit_review(bench.reviewer, request.id, "Fine")
    bench.airlock.cast_vote(bench.reviewer, request.id, "two.csv", NO)
    with pytest.raises(InvalidRequest, match="Say in the explanation"):
        bench.airlock.submit_review(bench.reviewer, request.id, " ")
    bench.airlock.submit_review(bench.reviewer, request.id, "Row 3")
    with pytest.raises(Conflict, match="already"):
        bench.airlock.submit_review(bench.reviewer, request.id, "Row 3")


def test_05_an_objection_in_a_group_needs_a_comment_on_the_group(bench):
    request = bench.draft("export", one__csv=SAFE_TABLE, two__csv=OTHER_TABLE)
    bench.airlock.write_group(bench.author, request.id, FileGroup("T", ("two.csv",), "a", "b"))
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    vote(bench, bench.reviewer, request, two=NO)
    with pytest.raises(InvalidRequest, match="a comment on the group 'T'"):
        bench.airlock.submit_review(bench.reviewer, request.id, "Row 3")
    bench.airlock.add_comment(bench.reviewer, request.id, "Row 3", group="T")
    bench.airlock.submit_review(bench.reviewer, request.id, "")


def test_06_votes_of_unsubmitted_reviews_do_not_count(bench):
    request = in_review(bench)
    reviewed_by(bench, bench.reviewer, request)
    vote(bench, bench.second, request)
    vote(bench, bench.third, request)
    with pytest.raises(IllegalMove):
        decide(bench, bench.reviewer, request, Decision.APPROVE)


def test_07_a_third_reviewer_breaks_a_tie(bench):
    request = reviewed(bench, two=NO)
    assert at(bench, bench.reviewer, request).outcome is Outcome.CONFLICTED
    with pytest.raises(Conflict, match="disagree"):
        decide(bench, bench.reviewer, request, Decision.APPROVE)
    reviewed_by(bench, bench.third, request)
    assert at(bench, bench.reviewer, request).outcome is Outcome.APPROVED
    assert decide(bench, bench.reviewer, request, Decision.APPROVE).status is Status.APPROVING
    bench.run_work()
    assert status(bench, request) is Status.APPROVED


def test_07_reviewers_who_agree_afterwards_change_their_votes(bench):
    request = reviewed(bench, two=NO)
    bench.airlock.cast_vote(bench.second, request.id, "two.csv", YES)
    assert decide(bench, bench.second, request, Decision.APPROVE).status is Status.APPROVING


def test_07_changes_requested_by_both_are_not_approved(bench):
    request = in_review(bench)
    for who in (bench.reviewer, bench.second):
        reviewed_by(bench, who, request, two=NO)
    assert at(bench, bench.second, request).outcome is Outcome.CHANGES_REQUESTED
    with pytest.raises(Conflict, match="request changes"):
        decide(bench, bench.second, request, Decision.APPROVE)


def test_08_reviewers_see_nothing_of_each_other_until_every_review_is_there(bench):
    request = in_review(bench)
    reviewed_by(bench, bench.reviewer, request, two=NO, words="Row 3 is small")
    bench.airlock.add_comment(bench.reviewer, request.id, "I doubt it", is_public=True)
    seen = at(bench, bench.second, request)
    assert seen.turn is Turn.INDEPENDENT
    assert [one.reviewer_id for one in seen.submitted] == [bench.reviewer.id]
    assert seen.submitted[0].explanation == ""
    assert seen.comments == []
    assert seen.outcome is None
    assert all(not file.others and file.outcome is None for file in seen.files)
    entry = bench.airlock.get(bench.second, request.id)
    assert "Row 3" not in repr(entry)
    reviewed_by(bench, bench.second, request)
    seen = at(bench, bench.second, request)
    assert seen.turn is Turn.CONSOLIDATING
    said = {one.reviewer_id: one.explanation for one in seen.submitted}
    assert said[bench.reviewer.id] == "Row 3 is small"
    assert [one.text for one in seen.comments] == ["I doubt it"]
    assert dict(seen.files[1].others) == {bench.reviewer.name: NO}


def test_08_a_submitted_review_stays_as_it_was_until_every_review_is_there(bench):
    request = in_review(bench)
    reviewed_by(bench, bench.reviewer, request)
    with pytest.raises(Conflict, match="You have submitted"):
        bench.airlock.cast_vote(bench.reviewer, request.id, "two.csv", NO)


def test_08_without_blinding_reviewers_see_each_other(bench):
    decide_on(bench, replace(BY_TWO, blinded=False))
    request = in_review(bench)
    reviewed_by(bench, bench.reviewer, request, words="Fine by me")
    seen = at(bench, bench.second, request)
    assert seen.submitted[0].explanation == "Fine by me"
    assert dict(seen.files[0].others) == {bench.reviewer.name: YES}


def test_09_the_author_reads_public_comments_when_the_turn_is_over_and_private_ones_never(bench):
    request = in_review(bench)
    bench.airlock.add_comment(bench.reviewer, request.id, "Between us")
    bench.airlock.add_comment(bench.reviewer, request.id, "For you", is_public=True)
    assert at(bench, bench.author, request).comments == []
    for who in (bench.reviewer, bench.second):
        reviewed_by(bench, who, request, two=NO, words="Row 3")
    assert at(bench, bench.author, request).comments == []
    decide(bench, bench.second, request, Decision.RETURN, "See above")
    assert [one.text for one in at(bench, bench.author, request).comments] == ["For you"]
    assert [one.text for one in at(bench, bench.colleague, request).comments] == ["For you"]
    seen = at(bench, bench.author, request)
    assert all(file.vote is None and not file.others for file in seen.files)


def test_10_a_comment_becomes_public_by_its_writer_in_its_turn_only(bench):
    request = in_review(bench)
    mine = bench.airlock.add_comment(bench.reviewer, request.id, "For you")
    late = bench.airlock.add_comment(bench.reviewer, request.id, "Too late")
    with pytest.raises(NotFound):
        bench.airlock.publish_comment(bench.second, request.id, mine.id)
    bench.airlock.publish_comment(bench.reviewer, request.id, mine.id)
    for who in (bench.reviewer, bench.second):
        reviewed_by(bench, who, request, two=NO, words="Row 3")
    decide(bench, bench.second, request, Decision.RETURN, "See above")
    with pytest.raises(Conflict):
        bench.airlock.publish_comment(bench.reviewer, request.id, late.id)
    assert [one.text for one in at(bench, bench.author, request).comments] == ["For you"]


def test_11_only_its_writer_takes_a_comment_back_and_only_in_its_turn(bench):
    request = in_review(bench)
    gone = bench.airlock.add_comment(bench.reviewer, request.id, "Never mind")
    stays = bench.airlock.add_comment(bench.reviewer, request.id, "Stays", is_public=True)
    with pytest.raises(NotFound):
        bench.airlock.drop_comment(bench.second, request.id, gone.id)
    bench.airlock.drop_comment(bench.reviewer, request.id, gone.id)
    for who in (bench.reviewer, bench.second):
        reviewed_by(bench, who, request, two=NO, words="Row 3")
    decide(bench, bench.second, request, Decision.RETURN, "See above")
    with pytest.raises(Conflict):
        bench.airlock.drop_comment(bench.reviewer, request.id, stays.id)
    assert [one.text for one in at(bench, bench.reviewer, request).comments] == ["Stays"]


def test_12_returning_after_every_review_needs_public_words_on_each_group(bench):
    request = bench.draft("export", one__csv=SAFE_TABLE, two__csv=OTHER_TABLE)
    bench.airlock.write_group(bench.author, request.id, FileGroup("T", ("two.csv",), "a", "b"))
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    request = bench.airlock.get(bench.author, request.id)
    for who in (bench.reviewer, bench.second):
        bench.airlock.add_comment(who, request.id, "Row 3", group="T")
        reviewed_by(bench, who, request, two=NO)
    with pytest.raises(Conflict, match="public comment"):
        decide(bench, bench.second, request, Decision.RETURN, "Row 3")
    assert status(bench, request) is Status.REVIEWED


def test_12_an_early_return_needs_none_and_takes_votes_and_comments_away(bench):
    request = in_review(bench)
    reviewed_by(bench, bench.reviewer, request, two=NO, words="Row 3")
    bench.airlock.add_comment(bench.reviewer, request.id, "Odd", is_public=True)
    decide(bench, bench.second, request, Decision.RETURN, "Wrong files")
    assert at(bench, bench.author, request).comments == []
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    seen = at(bench, bench.reviewer, request)
    assert (seen.submitted, [file.vote for file in seen.files]) == ([], [None, None])


def test_13_after_resubmission_approvals_of_unchanged_files_stand_and_objections_go(bench):
    request = returned_with_a_group(bench)
    bench.airlock.add_comment(bench.author, request.id, "It is a sum", group="Tables")
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    seen = at(bench, bench.reviewer, request)
    assert [(file.name, file.vote, file.change) for file in seen.files] == [
        ("one.csv", YES, "same"),
        ("two.csv", None, "same"),
    ]
    assert seen.submitted == []  # a review is of one seal


def test_14_a_replaced_file_loses_its_votes(bench):
    request = returned_with_a_group(bench)
    bench.fill(request, one__csv=OTHER_TABLE)
    bench.airlock.add_comment(bench.author, request.id, "It is a sum", group="Tables")
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    seen = {file.name: file for file in at(bench, bench.reviewer, request).files}
    assert (seen["one.csv"].vote, seen["one.csv"].change) == (None, "changed")


def test_15_rejection_is_possible_once_every_review_is_there_and_final(bench):
    request = reviewed(bench, two=NO)
    assert decide(bench, bench.third, request, Decision.REJECT, "No").status is Status.REJECTING
    bench.run_work()
    done = bench.airlock.get(bench.author, request.id)
    assert done.status is Status.REJECTED
    assert {(r.reviewer_id, r.decision) for r in done.reviews} == {
        (bench.reviewer.id, "approved"),
        (bench.second.id, "changes_requested"),
        (bench.third.id, "rejected"),
    }
    with pytest.raises((IllegalMove, Conflict)):
        reviewed_by(bench, bench.third, request)


def test_24_each_release_of_a_series_gets_its_own_two_reviews(bench):
    first = reviewed(bench)
    decide(bench, bench.second, first, Decision.APPROVE)
    bench.run_work()
    again = in_review(bench)
    with pytest.raises(IllegalMove):
        decide(bench, bench.second, again, Decision.APPROVE)
    assert at(bench, bench.second, again).submitted == []


# Reviewers who go ---------------------------------------------------------------------------------


def test_a_review_no_longer_counts_once_its_reviewer_may_not_review_here(bench):
    request = reviewed(bench)
    bench.people[bench.reviewer.id] = replace(bench.reviewer, workspace_roles={})
    with pytest.raises(Conflict, match="no longer counts"):
        decide(bench, bench.second, request, Decision.APPROVE)
    reviewed_by(bench, bench.third, request)
    assert decide(bench, bench.second, request, Decision.APPROVE).status is Status.APPROVING


def test_a_removed_account_counts_no_more_than_a_removed_role(bench):
    request = in_review(bench)
    reviewed_by(bench, bench.reviewer, request)
    del bench.people[bench.reviewer.id]
    one = reviewed_by(bench, bench.second, request)
    assert one.status is Status.PARTIALLY_REVIEWED
    assert reviewed_by(bench, bench.third, request).status is Status.REVIEWED


def test_project_members_do_not_review_where_the_policy_says_so(bench):
    both = person(bench.workspace, WorkspaceRole.RESEARCHER, WorkspaceRole.AIRLOCK_MANAGER)
    bench.people[both.id] = both
    request = in_review(bench)
    with pytest.raises(Denied):
        vote(bench, both, request)
    decide_on(bench, replace(BY_TWO, members_may_review=True))
    request = in_review(bench)
    assert reviewed_by(bench, both, request).status is Status.PARTIALLY_REVIEWED


# The policy ---------------------------------------------------------------------------------------


def test_only_an_administrator_decides_about_the_policy(bench):
    for who in (bench.owner, bench.reviewer, bench.author):
        with pytest.raises(Denied):
            bench.airlock.write_policy(who, bench.workspace, BY_TWO, seen_version=1)
        assert bench.airlock.workspace_policy(who, bench.workspace).version == 1
    with pytest.raises(NotFound):
        bench.airlock.workspace_policy(bench.stranger, bench.workspace)


def test_the_second_administrator_is_told_that_somebody_was_faster(bench):
    decide_on(bench, replace(BY_TWO, threshold=20))
    with pytest.raises(Conflict, match="a moment ago"):
        bench.airlock.write_policy(bench.admin, bench.workspace, BY_TWO, seen_version=1)
    assert bench.airlock.workspace_policy(bench.admin, bench.workspace).policy.threshold == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"reviewers": 0}, {"reviewers": 3}, {"reviewers": 1, "blinded": True}, {"threshold": 0},
        {"export_types": ()}, {"export_types": ("csv",)}, {"export_types": (".CSV",)},
        {"service_hours": -1}, {"export_rows": 0}, {"rounding_base": 0},
        {"export_file_bytes": 2**40},
    ],
)  # fmt: skip
def test_a_policy_out_of_bounds_is_refused(bench, wrong):
    with pytest.raises(InvalidRequest) as caught:
        decide_on(bench, replace(BY_TWO, **wrong))
    assert caught.value.field in wrong
    assert bench.airlock.workspace_policy(bench.admin, bench.workspace).version == 1


def test_a_sealed_request_keeps_its_policy(bench):
    request = in_review(bench)
    decide_on(bench, PolicyChoices(reviewers=1))
    with pytest.raises(IllegalMove):
        decide(bench, bench.reviewer, request, Decision.APPROVE)
    again = in_review(bench)
    assert again.policy_sha256 != request.policy_sha256
    assert decide(bench, bench.reviewer, again, Decision.APPROVE).status is Status.APPROVING


def test_the_tres_own_policy_is_in_force_until_somebody_decides(database):
    bench = Bench(database)
    found = bench.airlock.workspace_policy(bench.author, bench.workspace)
    assert (found.version, found.decided_at) == (0, None)
    assert found.policy == AirlockPolicy(
        threshold=bench.settings.small_count_threshold,
        file_limit=bench.settings.request_file_limit,
        bytes_limit=bench.settings.request_bytes_limit,
    )


def test_the_clock_of_a_review(bench):
    decide_on(bench, replace(BY_TWO, service_hours=48))
    seen = at(bench, bench.reviewer, in_review(bench))
    assert (seen.due_at - seen.sealed_at).total_seconds() == 48 * 3600


# Groups -------------------------------------------------------------------------------------------


def test_a_file_is_in_one_group_only(bench):
    request = bench.draft("export", one__csv=SAFE_TABLE, two__csv=OTHER_TABLE)
    bench.airlock.write_group(
        bench.author, request.id, FileGroup("A", ("one.csv", "two.csv"), "", "")
    )
    found = bench.airlock.write_group(
        bench.author, request.id, FileGroup("B", ("two.csv",), "", "")
    )
    assert [(group.name, group.files) for group in found] == [
        ("A", ("one.csv",)),
        ("B", ("two.csv",)),
    ]
    bench.airlock.drop_group(bench.author, request.id, "B")
    assert [group.name for group in at(bench, bench.author, request).groups] == ["A"]


@pytest.mark.parametrize("name", ["", " ", "a/b", "x" * 101, "a\nb"])
def test_a_groups_name_is_one_line(bench, name):
    request = bench.draft("export", one__csv=SAFE_TABLE)
    with pytest.raises(InvalidRequest, match="one line"):
        bench.airlock.write_group(bench.author, request.id, FileGroup(name, (), "", ""))


def test_only_the_author_groups_files_and_only_in_a_draft(bench):
    request = bench.draft("export", one__csv=SAFE_TABLE)
    group = FileGroup("A", ("one.csv",), "", "")
    for who in (bench.colleague, bench.reviewer, bench.owner):
        with pytest.raises(Denied):
            bench.airlock.write_group(who, request.id, group)
    with pytest.raises(InvalidRequest, match="no file named"):
        bench.airlock.write_group(bench.author, request.id, replace(group, files=("x.csv",)))
    bench.airlock.submit(bench.author, request.id)
    with pytest.raises(Conflict):
        bench.airlock.write_group(bench.author, request.id, group)


def test_members_who_only_look_on_say_nothing(bench):
    request = in_review(bench)
    with pytest.raises(Denied):
        bench.airlock.add_comment(bench.colleague, request.id, "Me too")
    with pytest.raises(Conflict, match="not your turn"):
        bench.airlock.add_comment(bench.author, request.id, "Please hurry")
    with pytest.raises(InvalidRequest):
        bench.airlock.add_comment(bench.reviewer, request.id, "  ")
