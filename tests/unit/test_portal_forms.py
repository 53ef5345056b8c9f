"""Does a JSON Schema become the right form, and a sent form the right values?"""

from typing import Any

import pytest
from starlette.datastructures import FormData

from carrel.core.forms import errors_by_field, fields_of, read, show_again

SCHEMA: dict[str, Any] = {
    "required": ["display_name", "size"],
    "properties": {
        "display_name": {"type": "string", "title": "Name", "updateable": True},
        "notes": {"type": "string", "default": "", "maxLength": 2000, "updateable": True},
        "nickname": {"type": "string"},
        "memory_gib": {
            "type": "integer",
            "title": "Memory (GiB)",
            "description": "Most memory.",
            "minimum": 1,
            "maximum": 64,
            "default": 4,
        },
        "cpus": {"type": "number", "default": 1.5},
        "size": {"type": "string", "enum": ["small", "large"]},
        "port": {"oneOf": [{"const": 80, "title": "Web"}, {"const": 443, "title": "TLS"}]},
        "gpu": {"type": "boolean", "title": "With a GPU"},
        "tools": {"type": "array", "items": {"enum": ["git", "r"]}},
        "hosts": {"type": "array", "items": {"type": "string"}},
        "secret": {"type": "string", "sensitive": True},
        "internal": {"type": "string", "default": "x"},
        "place": {
            "type": "object",
            "required": ["room"],
            "properties": {"room": {"type": "integer"}, "wing": {"type": "string"}},
        },
    },
    "allOf": [{"then": {"properties": {"gpu_count": {"type": "integer"}}}}],
    "uiSchema": {"ui:order": ["size"], "internal": {"classNames": "tre-hidden"}},
}
BY_NAME = {field.name: field for field in fields_of(SCHEMA)}


def sent(**values: Any) -> FormData:
    pairs = []
    for key, value in values.items():
        name = key.replace("__", ".")
        pairs += [(name, each) for each in (value if isinstance(value, list) else [value])]
    return FormData(pairs)


def test_every_property_has_a_field_but_the_hidden_ones():
    names = set(SCHEMA["properties"]) - {"internal", "place"}
    assert set(BY_NAME) == names | {"place.room", "place.wing", "gpu_count"}


def test_the_order_of_the_ui_hints_comes_first():
    assert fields_of(SCHEMA)[0].name == "size"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("display_name", "text"),
        ("notes", "textarea"),
        ("memory_gib", "number"),
        ("size", "select"),
        ("port", "select"),
        ("gpu", "checkbox"),
        ("tools", "checkboxes"),
        ("hosts", "textarea"),
        ("secret", "password"),
    ],
)
def test_each_kind_of_property_has_its_kind_of_field(name, kind):
    assert BY_NAME[name].type == kind


def test_the_bounds_of_a_number_are_in_the_hint():
    assert BY_NAME["memory_gib"].hint == "Most memory. From 1 to 64."


def test_an_optional_choice_can_be_left_open():
    assert BY_NAME["port"].options[0] == ("", "No choice")
    assert BY_NAME["size"].options[0] == ("small", "small")


def test_only_updateable_properties_are_in_the_form_of_a_change():
    fields = fields_of(SCHEMA, {"display_name": "Old"}, updateable_only=True)
    assert [(field.name, field.value) for field in fields] == [
        ("display_name", "Old"),
        ("notes", ""),
    ]


def test_a_sent_form_becomes_typed_values():
    values = read(
        fields_of(SCHEMA),
        sent(
            display_name=" Hearts ",
            notes="",
            nickname="",
            memory_gib="8",
            cpus="0.5",
            size="large",
            port="443",
            gpu="yes",
            tools=["git", "r"],
            hosts="a\r\n\r\nb ",
            place__room="7",
            place__wing="",
        ),
    )
    assert values == {
        "display_name": "Hearts",
        "notes": "",
        "memory_gib": 8,
        "cpus": 0.5,
        "size": "large",
        "port": 443,
        "gpu": True,
        "tools": ["git", "r"],
        "hosts": ["a", "b"],
        "place": {"room": 7},
    }


def test_an_unticked_box_is_false_and_no_choice_is_left_out():
    values = read(fields_of(SCHEMA), sent(display_name="", size="small", port=""))
    assert values["gpu"] is False
    assert values["tools"] == []
    assert "port" not in values
    assert values["display_name"] == ""


@pytest.mark.parametrize("typed", ["four", "nan", "inf", "1e999999999", "0x10", "--3"])
def test_what_is_no_number_stays_as_typed_for_the_schema_to_refuse(typed):
    assert read(fields_of(SCHEMA), sent(memory_gib=typed, cpus=typed))["memory_gib"] == typed


def test_what_was_typed_is_shown_again():
    again = show_again(fields_of(SCHEMA), sent(memory_gib="four", gpu="yes", tools=["r"]))
    shown = {field.name: field.value for field in again}
    assert (shown["memory_gib"], shown["gpu"], shown["tools"]) == ("four", True, ["r"])
    assert shown["size"] == ""


def test_errors_speak_in_the_words_of_the_labels_in_the_order_of_the_form():
    errors = errors_by_field(
        fields_of(SCHEMA),
        [
            ("tools.1", "tools.1 must be one of git, r."),
            ("memory_gib", "memory_gib must be 64 or less, not 99."),
            ("unknown", "unknown is not a property here."),
        ],
    )
    assert errors == {
        "": "unknown is not a property here.",
        "memory_gib": "Memory (GiB) must be 64 or less, not 99.",
        "tools": "Tools must be one of git, r.",
    }
