"""Is a bundle read strictly, and does its schema say what would fit?"""

import json
import shutil
from pathlib import Path

import pytest

from carrel.core.errors import InvalidRequest
from carrel.runtime.ports import Level
from carrel.workspaces.bundles import Bundle, InvalidBundle, find_bundles, shipped_folder
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.schemas import (
    InvalidProperties,
    changed_properties,
    check_properties,
    check_values,
    for_update,
    merge_defaults,
    with_defaults,
)

SHIPPED = sorted(find_bundles(shipped_folder()))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_every_shipped_bundle_loads(folder):
    assert Bundle.load(folder).name == folder.name


def test_the_shipped_catalogue_is_what_the_documents_name():
    found = {Bundle.load(folder).template.kind: folder.name for folder in SHIPPED}
    assert [folder.name for folder in SHIPPED] == [
        "jupyterlab",
        "notebooks",
        "restricted",
        "unrestricted",
    ]
    assert found[ResourceKind.USER_RESOURCE] == "jupyterlab"


def test_only_the_restricted_workspace_may_hold_sensitive_data():
    loaded = {folder.name: Bundle.load(folder).template for folder in SHIPPED}
    sensitive = {name for name, each in loaded.items() if each.policy.may_hold_sensitive}
    assert sensitive == {"restricted"}
    assert loaded["restricted"].level is Level.A
    assert loaded["restricted"].policy.network == "none"
    assert not loaded["restricted"].policy.downloads
    assert loaded["unrestricted"].policy.network == "egress-proxy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "jupyterlab"
    shutil.copytree(shipped_folder() / "user_resources" / "jupyterlab", copy)
    return copy


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "cause"),
    [
        ("template.toml", 'name = "jupyterlab"', 'name = "other"', "folder's name"),
        ("template.toml", 'name = "jupyterlab"', 'name = "Jupyter Lab"', "name"),
        ("template.toml", "[runtime]", "[runtime", "not valid TOML"),
        ("template.toml", 'version = "0.1.0"', 'version = "0.1"', "version"),
        ("template.toml", 'version = "0.1.0"', "", "version"),
        ("template.toml", 'kind = "user-resource"', 'kind = "vm"', "kind"),
        ("template.toml", 'parent = "notebooks"', "", "parent"),
        ("template.toml", 'title = "JupyterLab"', 'colour = "red"\ntitle = "J"', "colour"),
        ("template.toml", '"network:none"', '"magic:yes"', "magic:yes"),
        ("template.toml", 'level = "B"', 'level = "Z"', "level"),
        ("template.toml", 'name = "restart"', 'name = "explode"', "explode"),
        ("template.toml", 'memory_gib = "memory_gib"', 'memory_gib = "ram"', "ram"),
        ("template.toml", 'memory_gib = "memory_gib"', 'gpus = "cpus"', "gpus"),
        ("template.toml", 'image = "notebooks"', "", "image"),
        ("template.toml", 'driver = "local"', 'driver = "azure"', "driver"),
        ("template_schema.json", '"properties": {', '"properties" {', "line 7"),
        ("template_schema.json", '"minimum": 1,', '"minimum": "one",', "minimum"),
        ("template_schema.json", '"updateable": true', '"sensitive": "yes"', "sensitive"),
        ("tests/accepted.json", '"Lab"', "7", "example 0 is refused"),
        ("tests/refused.json", "{}", '{"display_name": "Lab"}', "example 0 is accepted"),
        ("tests/refused.json", "[", '["no group",', "list of property groups"),
    ],
)
def test_a_wrong_bundle_is_refused_with_folder_file_and_cause(folder, file, old, new, cause):
    edit(folder, file, old, new)
    with pytest.raises(InvalidBundle) as refused:
        Bundle.load(folder)
    assert refused.value.folder == folder
    assert refused.value.file == file
    assert cause in refused.value.cause
    assert all(part in str(refused.value) for part in ("jupyterlab", file, cause))


@pytest.mark.parametrize(
    "file",
    ["template.toml", "template_schema.json", "README.md", "tests/accepted.json"],
)
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(InvalidBundle, match="is missing") as refused:
        Bundle.load(folder)
    assert refused.value.file == file


def test_an_oversized_or_binary_file_is_refused(folder):
    (folder / "README.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidBundle, match="cannot be read"):
        Bundle.load(folder)
    (folder / "README.md").write_text("x" * 300_000)
    with pytest.raises(InvalidBundle, match="larger"):
        Bundle.load(folder)


def test_a_workspace_open_to_the_internet_may_not_call_itself_fit_for_sensitive_data(tmp_path):
    copy = tmp_path / "unrestricted"
    shutil.copytree(shipped_folder() / "workspaces" / "unrestricted", copy)
    edit(copy, "template.toml", "may_hold_sensitive = false", "may_hold_sensitive = true")
    with pytest.raises(InvalidBundle, match="may_hold_sensitive"):
        Bundle.load(copy)


# Properties ------------------------------------------------------------------------------------

SCHEMA = merge_defaults(
    ResourceKind.USER_RESOURCE,
    {
        "properties": {
            "size": {
                "type": "integer",
                "minimum": 1,
                "maximum": 4,
                "default": 2,
                "updateable": True,
            },
            "colour": {"enum": ["red", "blue"]},
            "nested": {
                "type": "object",
                "properties": {"a": {"type": "boolean"}},
                "additionalProperties": False,
            },
        },
        "required": [],
        "allOf": [
            {
                "if": {"properties": {"colour": {"const": "red"}}, "required": ["colour"]},
                "then": {
                    "properties": {"shade": {"type": "string", "updateable": True}},
                    "required": ["shade"],
                },
            }
        ],
    },
)


@pytest.mark.parametrize(
    ("properties", "field", "fix"),
    [
        ({}, "display_name", "missing"),
        ({"display_name": 7}, "display_name", "must be text, not 7"),
        ({"display_name": ""}, "display_name", "must not be empty"),
        ({"display_name": "a\nb"}, "display_name", "line break"),
        ({"display_name": "x" * 101}, "display_name", "at most 100"),
        ({"size": "2"}, "size", 'must be a whole number, not "2"'),
        ({"size": 2.5}, "size", "must be a whole number"),
        ({"size": True}, "size", "must be a whole number"),
        ({"size": 0}, "size", "must be 1 or more, not 0"),
        ({"size": 5}, "size", "must be 4 or less, not 5"),
        ({"size": None}, "size", "must be a whole number"),
        ({"colour": "green"}, "colour", 'must be one of "red", "blue"'),
        ({"colour": "red"}, "shade", "missing"),
        ({"flavour": 1}, "flavour", "is not a property here. Known: colour"),
        ({"shade": "dark"}, "shade", "is not a property here"),
        ({"nested": {"a": 1}}, "nested.a", "must be true or false"),
        ({"nested": {"b": True}}, "nested.b", "Known: a"),
    ],
)
def test_what_does_not_fit_is_named_with_its_fix(properties, field, fix):
    given = properties if field == "display_name" else {"display_name": "x", **properties}
    with pytest.raises(InvalidProperties) as refused:
        check_properties(SCHEMA, given)
    assert refused.value.field == f"properties.{field}"
    assert fix in str(refused.value)


def test_every_problem_is_told_at_once():
    with pytest.raises(InvalidProperties) as refused:
        check_properties(SCHEMA, {"size": 9, "colour": "green", "x": 1})
    assert {field for field, _ in refused.value.problems} == {
        "display_name",
        "size",
        "colour",
        "x",
    }


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "ordinary number"),
        (float("inf"), "ordinary number"),
        (10**30, "too large"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        ({"a\0": 1}, "property name"),
        ([[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]], "nested deeper"),
        ("x" * 300_000, "larger than 256 KiB"),
    ],
)
def test_values_that_no_schema_should_have_to_think_of_are_refused(value, why):
    with pytest.raises(InvalidRequest, match=why):
        check_values({"size": value})
    with pytest.raises(InvalidRequest, match=why):
        check_values({"nested": {"list": [value]}})


def test_ordinary_values_pass():
    check_values({"text": "é\n🙂", "number": 2**53, "float": 0.5, "none": None, "list": [{}]})


def test_defaults_are_applied_by_the_server():
    filled = with_defaults(SCHEMA, {"display_name": "x"})
    assert (filled["size"], filled["description"]) == (2, "")
    assert with_defaults(SCHEMA, {"size": 3})["size"] == 3


def test_a_conditional_property_is_known_when_its_condition_holds():
    check_properties(SCHEMA, {"display_name": "x", "colour": "red", "shade": "dark"})


def test_only_updateable_properties_change():
    old = with_defaults(SCHEMA, {"display_name": "x", "colour": "blue"})
    assert changed_properties(SCHEMA, old, {"size": 3})["size"] == 3
    with pytest.raises(InvalidProperties, match="colour was fixed"):
        changed_properties(SCHEMA, old, {"colour": "blue"})
    with pytest.raises(InvalidProperties, match="colour was fixed"):
        changed_properties(SCHEMA, old, {"colour": "red"})
    with pytest.raises(InvalidProperties, match="not a property"):
        changed_properties(SCHEMA, old, {"flavour": 1})


def test_the_schema_of_an_update_marks_what_is_fixed():
    shown = for_update(SCHEMA)
    assert shown["properties"]["colour"]["readOnly"]
    assert "readOnly" not in shown["properties"]["size"]
    assert "readOnly" not in shown["allOf"][0]["then"]["properties"]["shade"]
    assert "readOnly" not in json.dumps(SCHEMA), "the template itself stays as it is"
