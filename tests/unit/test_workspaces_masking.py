"""Are secrets taken out of properties, and put back where they belong and nowhere else?"""

import pytest

from carrel.workspaces.masking import (
    MASK,
    holding,
    kept,
    masked,
    outermost,
    picked,
    still_masked,
    unmasked,
)

FULL = {
    "name": "x",
    "key": "s1",
    "group": {"host": "h", "password": "s2", "a/b": {"~c": "s3"}},
    "users": [{"id": "ann", "password": "s4"}, {"id": "bob", "password": "s5"}],
}
PLACES = {
    "/key",
    "/group/password",
    "/group/a~1b/~0c",
    "/users/0/password",
    "/users/1/password",
}


def test_masked_and_put_back_is_the_same():
    secrets = picked(FULL, PLACES)
    shown = masked(FULL, PLACES)
    assert set(secrets.values()) == {"s1", "s2", "s3", "s4", "s5"}
    assert not any(secret in str(shown) for secret in secrets.values())
    assert unmasked(shown, secrets) == FULL
    assert FULL["key"] == "s1", "the original is left alone"


def test_a_place_that_is_gone_is_passed_over():
    assert unmasked({"users": []}, {"/users/0/password": "s", "/key/x": "s"}) == {"users": []}
    assert picked({"key": 1}, {"/key/deeper", "/other"}) == {}


def test_of_nested_places_the_outer_one_counts():
    assert outermost({"/a", "/a/b", "/a/b/c", "/ab"}) == {"/a", "/ab"}


SHOWN = masked(FULL, PLACES)


@pytest.mark.parametrize(
    ("sent", "means"),
    [
        ({"key": MASK}, {"key": "s1"}),
        ({"key": "new"}, {"key": "new"}),
        ({"name": MASK}, {"name": MASK}),
        (
            {"group": {"host": "other", "password": MASK}},
            {"group": {"host": "other", "password": "s2"}},
        ),
        ({"users": SHOWN["users"]}, {"users": FULL["users"]}),
        ({"users": SHOWN["users"][::-1]}, {"users": FULL["users"][::-1]}),
        ({"users": SHOWN["users"][1:]}, {"users": FULL["users"][1:]}),
        (
            {"users": [*SHOWN["users"], {"id": "cy", "password": MASK}]},
            {"users": [*FULL["users"], {"id": "cy", "password": MASK}]},
        ),
        ({"unknown": MASK}, {"unknown": MASK}),
    ],
)
def test_a_mask_that_comes_back_means_the_old_secret(sent, means):
    assert kept(sent, SHOWN, FULL) == means


def test_a_secret_does_not_slip_into_an_entry_that_was_not_its_own():
    sent = {"users": [{"id": "eve", "password": MASK}]}
    assert kept(sent, SHOWN, FULL) == sent
    assert still_masked(sent, {"/users/0/password"}) == ["/users/0/password"]


def test_texts_that_hold_a_secret_are_found_at_any_depth():
    value = {"url": "https://u:s2@host", "list": ["s2", {"deep": "xs2x"}], "n": 2, "other": "s"}
    assert set(holding(value, ["s2", ""])) == {"/url", "/list/0", "/list/1/deep"}
