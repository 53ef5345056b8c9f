"""Are conditional, nested and sensitive properties honoured exactly?"""

import json

import pytest

from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.schemas import (
    InvalidProperties,
    changed_properties,
    check_properties,
    for_update,
    merge_defaults,
    normalise,
    schema_problems,
    sensitive_pointers,
    updateable_names,
    with_defaults,
)

SECRET = "s3cr3t-that-nobody-reads"
OLD_HABITS = {
    "$schema": "http://json-schema.org/draft-07/schema",
    "$id": "https://example.org/templates/deep/template_schema.json",
    "required": ["mode"],
    "properties": {
        "mode": {"$id": "#/properties/mode", "type": "string", "enum": ["none", "one"],
                 "default": "none", "updateable": True},
        "never": {"$id": "#properties/never", "type": "string", "const": None},
        "fixed": {"type": "string"},
        "keys": {"type": "array", "items": {
            "type": "object", "properties": {
                "name": {"type": "string"}, "value": {"type": "string", "sensitive": True}}}},
        "login": {"type": "object", "updateable": True, "properties": {
            "user": {"type": "string", "default": "root"},
            "password": {"$ref": "#/$defs/secret"}}},
        "pin": {"type": "integer", "sensitive": True, "minimum": 1000, "updateable": True},
    },
    "$defs": {"secret": {"type": "string", "sensitive": True, "minLength": 8}},
    "allOf": [{
        "if": {"properties": {"mode": {"const": "one"}}, "required": ["mode"]},
        "then": {
            "properties": {"second": {"type": "boolean", "default": True, "updateable": True}},
            "allOf": [{
                "if": {"properties": {"second": {"const": True}}, "required": ["second"]},
                "then": {
                    "properties": {"third": {"enum": ["a", "b"], "default": "a",
                                             "updateable": True}},
                    "allOf": [{
                        "if": {"properties": {"third": {"const": "b"}}, "required": ["third"]},
                        "then": {"properties": {"token": {"type": "string", "sensitive": True,
                                                          "updateable": True}},
                                 "required": ["token"]},
                    }],
                },
            }],
        },
        "else": {"properties": {"plain": {"type": "string", "default": "p", "updateable": True}}},
    }],
}  # fmt: skip
SCHEMA = merge_defaults(ResourceKind.WORKSPACE, normalise(OLD_HABITS))


def refusal(call, *given):
    with pytest.raises(InvalidProperties) as refused:
        call(*given)
    return dict(refused.value.problems)


def test_the_schema_is_sound():
    assert list(schema_problems(SCHEMA)) == []


def test_what_old_drafts_left_in_is_dropped():
    text = json.dumps(SCHEMA)
    assert "$id" not in text
    assert "$schema" not in text
    assert "null" not in text
    check_properties(SCHEMA, with_defaults(SCHEMA, {"display_name": "x", "never": "say"}))


def test_a_property_may_be_named_like_a_word_of_schemas():
    odd = {"properties": {"$id": {"type": "string", "const": "kept"}, "default": {"const": None}}}
    assert normalise(odd)["properties"] == {
        "$id": {"type": "string", "const": "kept"},
        "default": {},
    }


def test_old_lists_and_dependencies_become_the_new_words():
    old = {
        "properties": {"pair": {"items": [{"type": "string"}]}},
        "dependencies": {"a": ["b"], "c": {"required": ["d"]}},
    }
    new = normalise(old)
    assert new["properties"]["pair"] == {"prefixItems": [{"type": "string"}]}
    assert new["dependentRequired"] == {"a": ["b"]}
    assert new["dependentSchemas"] == {"c": {"required": ["d"]}}


# Defaults -----------------------------------------------------------------------------------


def test_defaults_follow_the_conditions_three_levels_deep():
    first = with_defaults(SCHEMA, {"display_name": "x"})
    assert (first["mode"], first["plain"]) == ("none", "p")
    assert "second" not in first
    deep = with_defaults(SCHEMA, {"display_name": "x", "mode": "one"})
    assert (deep["second"], deep["third"]) == (True, "a")
    assert "plain" not in deep
    check_properties(SCHEMA, deep)


def test_defaults_reach_into_groups_that_were_given_and_make_whole_ones():
    given = with_defaults(SCHEMA, {"login": {"password": "12345678"}})
    assert given["login"] == {"user": "root", "password": "12345678"}
    assert with_defaults(SCHEMA, {})["login"] == {"user": "root"}


def test_a_default_that_does_not_fit_its_rule_is_not_used():
    schema = {"properties": {"review": {"type": "object", "default": None}}}
    assert with_defaults(schema, {}) == {}
    assert [path for path, _, serious in schema_problems(schema) if not serious] == [
        ("properties", "review", "default")
    ]


def test_a_schema_whose_defaults_never_settle_ends():
    flip = {
        "properties": {"n": {"default": 0}},
        "if": {"properties": {"a": {"const": 1}}, "required": ["a"]},
        "then": {"properties": {"b": {"default": 1}}},
        "else": {"properties": {"a": {"default": 1}}},
    }
    assert with_defaults(flip, {}) == {"n": 0, "a": 1, "b": 1}


def test_what_was_given_is_not_touched():
    given = {"login": {"password": "12345678"}}
    with_defaults(SCHEMA, given)
    assert given == {"login": {"password": "12345678"}}


# Conditions ---------------------------------------------------------------------------------


def test_a_property_under_a_condition_that_does_not_hold_is_refused_with_what_it_depends_on():
    assert refusal(
        check_properties, SCHEMA, {"display_name": "x", "mode": "none", "third": "a"}
    ) == {"third": "third is not a property here: it depends on mode, second."}


def test_a_missing_conditional_property_three_levels_deep_is_named():
    given = {"display_name": "x", "mode": "one", "second": True, "third": "b"}
    assert list(refusal(check_properties, SCHEMA, given)) == ["token"]
    check_properties(SCHEMA, {**given, "token": "t"})


def test_one_wrong_conditional_property_does_not_make_the_others_unknown():
    given = {"display_name": "x", "mode": "one", "second": True, "third": "c", "extra": 1}
    assert set(refusal(check_properties, SCHEMA, given)) == {"third", "extra"}


# Sensitive ----------------------------------------------------------------------------------


def test_sensitive_values_are_found_wherever_they_are():
    given = {
        "pin": 1234,
        "keys": [{"name": "a", "value": "x"}, {"name": "b", "value": "y"}, {"name": "c"}],
        "login": {"user": "u", "password": "p"},
        "token": "t",
        "fixed": "open",
    }
    assert sensitive_pointers(SCHEMA, given) == {
        "/pin",
        "/keys/0/value",
        "/keys/1/value",
        "/login/password",
        "/token",
    }, "the token's condition does not hold, and it is sealed all the same"


def test_a_sensitive_group_is_one_secret_and_names_are_escaped():
    schema = {
        "properties": {
            "a/b": {"sensitive": True, "properties": {"c": {"sensitive": True}}},
            "t~": {"additionalProperties": {"sensitive": True}},
            "p": {"patternProperties": {"^k": {"sensitive": True}}},
            "n": {"anyOf": [{"type": "null"}, {"type": "string", "sensitive": True}]},
        }
    }
    given = {"a/b": {"c": 1}, "t~": {"x": "1"}, "p": {"k1": 1, "z": 2}, "n": "s"}
    assert sensitive_pointers(schema, given) == {"/a~1b", "/t~0/x", "/p/k1", "/n"}
    assert sensitive_pointers(schema, {"n": None, "t~": {"x": ""}}) == frozenset()


def test_a_schema_that_refers_to_itself_ends():
    tree = {
        "properties": {"root": {"$ref": "#/$defs/node"}},
        "$defs": {
            "node": {"properties": {"next": {"$ref": "#/$defs/node"}, "key": {"sensitive": True}}}
        },
    }
    given = {"root": {"next": {"next": {"key": "k"}}}}
    assert sensitive_pointers(tree, given) == {"/root/next/next/key"}
    assert with_defaults(tree, given) == given


@pytest.mark.parametrize(
    "given",
    [
        {"login": {"password": SECRET, "x": 1, "user": 7}, "pin": SECRET},
        {"login": {"password": [SECRET]}},
        {"login": {"password": {"inner": SECRET, SECRET: 1}}},
        {"keys": [{"value": [SECRET]}]},
        {"keys": {"value": SECRET}},
        {"token": [SECRET]},
        {"pin": [SECRET], "unknown": SECRET},
        {"mode": "one", "third": "b", "token": {"a": SECRET}},
    ],
)
def test_a_message_never_repeats_a_sensitive_value(given):
    with pytest.raises(InvalidProperties) as refused:
        check_properties(SCHEMA, {"display_name": "x", **given})
    assert SECRET not in str(refused.value)
    assert SECRET not in str(refused.value.problems)
    assert SECRET not in str(refused.value.field)
    with pytest.raises(InvalidProperties) as refused:
        changed_properties(SCHEMA, {"display_name": "x", "mode": "none"}, given)
    assert SECRET not in str(refused.value.problems)


# Changes ------------------------------------------------------------------------------------

OLD = with_defaults(SCHEMA, {"display_name": "x", "mode": "one"})


def test_a_conditional_property_is_patched_together_with_what_it_depends_on():
    problem = refusal(changed_properties, SCHEMA, OLD, {"third": "a"})
    assert problem == {"third": "third depends on mode, second. Send them together in one change."}
    patch = {"mode": "one", "second": True, "third": "b", "token": "t"}
    assert changed_properties(SCHEMA, OLD, patch)["token"] == "t"


def test_what_can_never_change_is_not_asked_for_with_a_conditional_property():
    schema = merge_defaults(
        ResourceKind.SERVICE,
        {
            "properties": {"kind": {"enum": ["a", "b"]}},
            "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]},
            "then": {"properties": {"size": {"type": "integer", "updateable": True}}},
        },
    )
    old = {"display_name": "x", "kind": "a"}
    assert changed_properties(schema, old, {"size": 2})["size"] == 2
    with pytest.raises(InvalidProperties, match="depends on kind"):
        changed_properties(schema, {**old, "kind": "b"}, {"size": 2})


def test_when_a_condition_ends_what_stood_under_it_goes():
    patch = {"mode": "one", "second": True, "third": "b", "token": "t"}
    deep = changed_properties(SCHEMA, OLD, patch)
    back = changed_properties(SCHEMA, deep, {"mode": "none"})
    assert not {"second", "third", "token"} & back.keys()
    assert back["plain"] == "p"


def test_only_the_marked_part_of_a_group_changes():
    schema = merge_defaults(
        ResourceKind.SERVICE,
        {
            "properties": {
                "group": {
                    "type": "object",
                    "properties": {"free": {"updateable": True}, "fixed": {"type": "integer"}},
                }
            }
        },
    )
    old = {"display_name": "x", "group": {"free": 1, "fixed": 1}}
    assert "group" in updateable_names(schema)
    assert changed_properties(schema, old, {"group": {"free": 2, "fixed": 1}})["group"]["free"] == 2
    assert list(refusal(changed_properties, schema, old, {"group": {"free": 2, "fixed": 2}})) == [
        "group.fixed"
    ]
    assert list(refusal(changed_properties, schema, old, {"group": 7})) == ["group"]


def test_an_upgrade_is_checked_against_the_version_it_goes_to():
    former = merge_defaults(ResourceKind.SERVICE, {"properties": {"gone": {"type": "string"}}})
    target = merge_defaults(
        ResourceKind.SERVICE,
        {
            "required": ["new"],
            "properties": {"new": {"type": "string"}, "filled": {"default": 3}},
        },
    )
    old = {"display_name": "x", "gone": "g"}
    assert changed_properties(target, old, {"new": "n"}, former=former) == {
        "display_name": "x",
        "description": "",
        "overview": "",
        "new": "n",
        "filled": 3,
    }
    assert list(refusal(lambda: changed_properties(target, old, {}, former=former))) == ["new"]
    with pytest.raises(InvalidProperties, match="fixed when this was created"):
        changed_properties(target, {"display_name": "x", "new": "n"}, {"new": "m"})


def test_the_schema_of_an_update_marks_conditional_properties_too():
    shown = for_update(SCHEMA)
    deep = shown["allOf"][0]["then"]["allOf"][0]["then"]
    assert "readOnly" not in deep["properties"]["third"]
    assert shown["properties"]["fixed"]["readOnly"] is True
    assert "readOnly" not in json.dumps(SCHEMA)


# Soundness ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ({"type": "strng"}, ("properties", "x", "type"), "strng"),
        ({"pattern": "("}, ("properties", "x"), "no regular expression"),
        ({"$ref": "https://example.org/x.json"}, ("properties", "x"), "nothing is fetched"),
        ({"$ref": "#/$defs/none"}, ("properties", "x"), "leads nowhere"),
        ({"sensitive": "yes"}, ("properties", "x"), "true or false"),
        ({"items": {"updateable": 1}}, ("properties", "x", "items"), "true or false"),
        ({"$dynamicRef": "#a"}, ("properties", "x"), "Use $ref"),
        (7, ("properties", "x"), "7"),
    ],
)
def test_what_is_wrong_with_a_schema_is_named_with_its_place(rule, path, words):
    found = list(schema_problems({"properties": {"x": rule}}))
    assert path in [each for each, _, _ in found]
    assert any(words in sentence for _, sentence, _ in found)
    assert all(serious for _, _, serious in found)


def test_a_reference_in_a_circle_is_named():
    circle = {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}
    found = [sentence for _, sentence, _ in schema_problems({"properties": {}, **circle})]
    assert len(found) == 2
    assert "without end" in found[0]


def test_a_schema_without_properties_is_none():
    assert [sentence for _, sentence, _ in schema_problems({})] == [
        "needs `properties`, a group of rules by name."
    ]
