"""Are pipelines read, refused and filled in as AzureTRE's templates expect?"""

import pytest

from carrel.core.errors import InvalidRequest
from carrel.workspaces.pipelines import changed_by, parse, step_of, substitute

RULES = {
    "stepId": "1a2b",
    "stepTitle": "Open the firewall",
    "resourceTemplateName": "tre-shared-service-firewall",
    "resourceType": "shared-service",
    "resourceAction": "upgrade",
    "properties": [
        {
            "name": "rules",
            "type": "array",
            "arraySubstitutionAction": "replace",
            "arrayMatchField": "name",
            "value": {"name": "arc-{{ resource.id }}", "ports": ["{{ resource.properties.port }}"]},
        }
    ],
}
MAIN = {"stepId": "main"}
RESOURCE = {
    "id": "r1",
    "properties": {
        "port": 443,
        "name": "lab",
        "is_open": False,
        "none": None,
        "list": [1, {"x": 2}],
        "deep": {"a": {"b": "c"}},
    },
}
PARENT = {"id": "s1", "properties": {"address": "10.1.0.0/24"}}
GRANDPARENT = {"id": "w1", "properties": {"address": "10.1.0.0/16"}}


def refused(pipeline: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse({"pipeline": pipeline})
    return caught.value


def test_a_pipeline_is_read_by_action():
    found = parse({"pipeline": {"install": [RULES, MAIN], "upgrade": None}})
    rules, main = found["install"]
    assert list(found) == ["install"]
    assert main.is_main
    assert (rules.title, rules.resource_template_name, rules.properties[0].match_field) == (
        "Open the firewall",
        "tre-shared-service-firewall",
        "name",
    )
    assert step_of({**rules.as_json(), "source": "r1"}) == rules


def test_a_template_without_a_pipeline_has_none():
    assert parse({}) == parse({"pipeline": None}) == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stepId": None}, "pipeline.install.0.stepId"),
        ({"stepId": 7}, "pipeline.install.0.stepId"),
        ({"resourceType": "user-resource"}, "pipeline.install.0.resourceType"),
        ({"resourceTemplateName": ""}, "pipeline.install.0.resourceTemplateName"),
        ({"resourceAction": "uninstall"}, "pipeline.install.0.resourceAction"),
        ({"properties": {"name": "x"}}, "pipeline.install.0.properties"),
        ({"properties": ["x"]}, "pipeline.install.0.properties.0"),
        ({"properties": [{"value": 1}]}, "pipeline.install.0.properties.0.name"),
        (
            {"properties": [{"name": "x", "arraySubstitutionAction": "prepend"}]},
            "pipeline.install.0.properties.0.arraySubstitutionAction",
        ),
    ],
)
def test_a_step_that_cannot_be_taken_is_named(change, field):
    assert refused({"install": [{**RULES, **change}]}).field == field


@pytest.mark.parametrize("pipeline", [[RULES], {"install": RULES}, {"install": ["main"]}])
def test_what_is_no_pipeline_is_refused(pipeline):
    assert refused(pipeline).field.startswith("pipeline")


def test_a_steps_id_is_used_once_and_main_once_in_each_action():
    assert parse({"pipeline": {"install": [MAIN], "upgrade": [MAIN]}})
    assert refused({"install": [MAIN, MAIN]}).field == "pipeline.install.1.stepId"
    assert refused({"install": [RULES], "upgrade": [RULES]}).field == "pipeline.upgrade.0.stepId"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("plain", "plain"),
        ("{{ resource.id }}", "r1"),
        ("{{resource.id}}", "r1"),
        ("{{ resource.properties.port }}", 443),
        (" {{ resource.properties.is_open }} ", False),
        ("{{ resource.properties.none }}", None),
        ("http://{{ resource.properties.name }}:{{ resource.properties.port }}", "http://lab:443"),
        ("x{{ resource.properties.none }}y", "xy"),
        ("x{{ resource.properties.list }}y", [1, {"x": 2}]),
        ("{{ resource.properties.deep.a }}", {"b": "c"}),
        ("{{ resource.properties.deep.a.b }}", "c"),
        ("is {{ resource.properties.unknown }} and {{ resource.id }}", ""),
        ("{{ resource.properties.list.0 }}", ""),
        ("{{ resource.properties.port.more }}", ""),
        ("{{ resource.parent.properties.address }}", "10.1.0.0/24"),
        ("{{ resource.parent.parent.properties.address }}", "10.1.0.0/16"),
        ("{{ somebody.else }}", "{{ somebody.else }}"),
        (7, 7),
        (None, None),
        (True, True),
        ({"a": ["{{ resource.id }}", {"b": 2}]}, {"a": ["r1", {"b": 2}]}),
    ],
)
def test_references_are_filled_in(value, wanted):
    assert substitute(value, RESOURCE, [PARENT, GRANDPARENT]) == wanted


def test_a_reference_above_the_last_parent_is_refused():
    with pytest.raises(InvalidRequest, match="only 1 above"):
        substitute("{{ resource.parent.parent.id }}", RESOURCE, [PARENT])


def test_what_was_filled_in_is_not_tied_to_where_it_came_from():
    found = substitute("{{ resource.properties.list }}", RESOURCE, [])
    found.append("mine")
    assert RESOURCE["properties"]["list"] == [1, {"x": 2}]


def patch(action: str, current: object, value: object = None, match: str = "name") -> object:
    rule = {
        "name": "rules",
        "type": "array",
        "arraySubstitutionAction": action,
        "arrayMatchField": match,
        "value": value or {"name": "{{ resource.properties.name }}", "v": 2},
    }
    step = parse({"pipeline": {"install": [{**RULES, "properties": [rule]}]}})["install"][0]
    return changed_by(step, {"rules": current}, RESOURCE, [])["rules"]


OLD, OTHER, NEW = {"name": "lab", "v": 1}, {"name": "other"}, {"name": "lab", "v": 2}


def test_arrays_are_overwritten_appended_to_replaced_in_and_removed_from():
    assert patch("overwrite", [OLD, OTHER]) == [NEW]
    assert patch("append", [OLD]) == [OLD, NEW]
    assert patch("replace", [OTHER, OLD]) == [OTHER, NEW]
    assert patch("replace", [OTHER]) == [OTHER, NEW]
    assert patch("remove", [OTHER, OLD]) == [OTHER]
    assert patch("remove", [OTHER]) == [OTHER]


def test_an_array_that_is_not_there_yet_is_empty():
    assert patch("append", None) == [NEW]


def test_entries_without_the_field_are_no_match():
    assert patch("replace", [{"v": 1}], {"v": 9}) == [{"v": 1}, {"v": 9}]


def test_plain_entries_are_known_by_themselves_and_a_list_takes_the_whole_place():
    assert patch("append", ["a"], "b") == ["a", "b"]
    assert patch("remove", ["a", "b"], "b") == ["a"]
    assert patch("append", ["a"], "{{ resource.properties.list }}") == [1, {"x": 2}]


def test_two_settings_of_one_array_build_on_each_other_and_leave_the_source_alone():
    rule = {"name": "rules", "type": "array", "arraySubstitutionAction": "append"}
    rules = [{**rule, "value": {"n": number}} for number in (1, 2)]
    step = parse({"pipeline": {"install": [{**RULES, "properties": rules}]}})["install"][0]
    current = {"rules": [{"n": 0}]}
    assert changed_by(step, current, RESOURCE, []) == {"rules": [{"n": 0}, {"n": 1}, {"n": 2}]}
    assert current == {"rules": [{"n": 0}]}
