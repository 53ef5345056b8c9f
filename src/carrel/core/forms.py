"""How does a JSON Schema become a form, and a sent form the values of the schema?

The subset that templates use: strings, numbers, booleans, enums, arrays of enums or of strings,
nested objects (dotted names), `oneOf` constants with titles, and the hints of `uiSchema`.
What does not fit stays as it was typed, so that the schema's own check says what is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

_HIDDEN = "tre-hidden"  # AzureTRE's class for a property that people do not fill in
_MANY_LINES = 200
_YES = "yes"


class SentForm(Protocol):
    """What a browser sent: the last, or all, values by name."""

    def get(self, key: str, /) -> Any:
        """Return the last value of a field; None if it was not sent."""

    def getlist(self, key: str, /) -> list[Any]:
        """Return all values of a field."""
        ...


@dataclass(frozen=True, slots=True)
class FormField:
    """One field, ready for the macro `field` of the portal."""

    name: str
    """Dotted for a property of a nested object."""
    type: str
    """As the macro `field` knows it, for instance text, select or checkboxes."""
    json_type: str
    label: str
    hint: str
    required: bool
    value: Any
    options: Sequence[tuple[str, str]] = ()
    maxlength: int | None = None
    width: str = ""
    may_be_empty: bool = False
    """Whether nothing typed means the empty text, and not that the property is left out."""
    choices: Sequence[Any] = ()
    """The JSON values that the options stand for, in their order."""

    def with_value(self, value: Any) -> "FormField":
        """Return the field showing `value`."""
        return replace(self, value=_shown(self, value))

    def with_options(self, options: Sequence[tuple[str, str]]) -> "FormField":
        """Return the field as a choice among text values `(value, label)`."""
        return replace(
            self, type="select", options=options, choices=[value for value, _ in options]
        )


def fields_of(
    schema: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    *,
    updateable_only: bool = False,
    prefix: str = "",
) -> list[FormField]:
    """Return the fields of a schema, showing `values` or else the defaults.

    The order is that of `ui:order`, then required fields, then short ones, then long texts.
    """
    fields: list[FormField] = []
    for name, rule, is_required, hints in _properties(schema):
        if updateable_only and not rule.get("updateable"):
            continue
        given = (values or {}).get(name)
        if rule.get("type") == "object":
            inner = given if isinstance(given, Mapping) else None
            fields += fields_of(rule, inner, prefix=f"{prefix}{name}.")
            continue
        field = _field(f"{prefix}{name}", rule, hints, is_required=is_required)
        fields.append(field.with_value(rule.get("default") if given is None else given))
    return _ordered(fields, schema.get("uiSchema", {}).get("ui:order", ()))


def _ordered(fields: Sequence[FormField], order: Sequence[str]) -> list[FormField]:
    """Return the fields in a sensible order: stored schemas have lost their own."""
    places = {name: place for place, name in enumerate(order)}

    def place(field: FormField) -> tuple[int, bool, bool]:
        first = places.get(field.name.partition(".")[0], len(places))
        return first, not field.required, field.type == "textarea"

    return sorted(fields, key=place)


def read(fields: Sequence[FormField], sent: SentForm) -> dict[str, Any]:
    """Return the properties that a sent form means; an empty optional field is left out.

    A number that is none stays text: the schema's check then names it.
    """
    properties: dict[str, Any] = {}
    for field in fields:
        value = _read_one(field, sent)
        if value is None:
            continue
        *path, last = field.name.split(".")
        place = properties
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return properties


def show_again(fields: Sequence[FormField], sent: SentForm) -> list[FormField]:
    """Return the fields showing exactly what was sent, so that nobody types it twice."""
    again = []
    for field in fields:
        typed = sent.getlist(field.name) if field.type == "checkboxes" else sent.get(field.name)
        shown: Any = typed if typed is not None else ""
        if field.type == "checkbox":
            shown = typed == _YES
        again.append(replace(field, value=shown))
    return again


def errors_by_field(
    fields: Sequence[FormField], problems: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """Return one sentence per field, in the words of its label; "" holds what has no field."""
    labels = {field.name: field.label for field in fields}
    errors: dict[str, str] = {}
    for name, sentence in problems:
        known = name if name in labels else _parent(name, labels)
        label = labels.get(known)
        if label and sentence.startswith(name):
            sentence = label + sentence.removeprefix(name)  # noqa: PLW2901  one sentence, two forms
        errors.setdefault(known, sentence)
    order = {name: index for index, name in enumerate(labels)}
    return dict(sorted(errors.items(), key=lambda item: order.get(item[0], -1)))


def _parent(name: str, labels: Mapping[str, str]) -> str:
    """Return the field that an error inside it belongs to: `tools` for `tools.3`."""
    while name and name not in labels:
        name = name.rpartition(".")[0]
    return name


def _properties(
    schema: Mapping[str, Any],
) -> Iterator[tuple[str, Mapping[str, Any], bool, Mapping[str, Any]]]:
    hints = schema.get("uiSchema", {})
    required = set(schema.get("required", ()))
    found: dict[str, tuple[Mapping[str, Any], bool]] = {}
    for branch, is_main in _branches(schema):
        for name, rule in branch.get("properties", {}).items():
            if isinstance(rule, Mapping) and name not in found:
                found[name] = (rule, is_main and name in required)
    for name, (rule, is_required) in found.items():
        own = hints.get(name, {})
        if own.get("classNames") == _HIDDEN or own.get("ui:widget") == "hidden":
            continue
        yield name, rule, is_required, own


def _branches(schema: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Yield the schema itself, then what its conditions may add (optional fields)."""
    yield schema, True
    for block in schema.get("allOf", ()):
        for word in ("then", "else"):
            if isinstance(block.get(word), Mapping):
                yield block[word], False


def _field(
    name: str, rule: Mapping[str, Any], hints: Mapping[str, Any], *, is_required: bool
) -> FormField:
    label = str(rule.get("title") or name.rpartition(".")[2].replace("_", " ").capitalize())
    choices, options = _choices(rule)
    kind = str(rule.get("type", "string"))
    field = FormField(
        name=name,
        type=_type_of(rule, hints, is_choice=bool(choices)),
        json_type=kind,
        label=label,
        hint=_hint(rule),
        required=is_required or kind == "boolean",
        value="",
        options=options,
        may_be_empty=is_required or rule.get("default") == "",
        maxlength=rule.get("maxLength"),
        width="5" if kind in ("integer", "number") else "",
        choices=choices,
    )
    if field.type == "select" and not is_required:
        field = replace(field, options=[("", "No choice"), *options], choices=[None, *choices])
    return field


def _choices(rule: Mapping[str, Any]) -> tuple[list[Any], list[tuple[str, str]]]:
    source = rule.get("items", {}) if rule.get("type") == "array" else rule
    if "enum" in source:
        return list(source["enum"]), [(str(each), str(each)) for each in source["enum"]]
    constants = [each for each in source.get("oneOf", ()) if "const" in each]
    return (
        [each["const"] for each in constants],
        [(str(each["const"]), str(each.get("title", each["const"]))) for each in constants],
    )


def _type_of(rule: Mapping[str, Any], hints: Mapping[str, Any], *, is_choice: bool) -> str:
    kind, widget = rule.get("type", "string"), hints.get("ui:widget")
    if kind == "boolean":
        return "checkbox"
    if is_choice:
        return "checkboxes" if kind == "array" else "radios" if widget == "radio" else "select"
    if kind in ("integer", "number"):
        return "number"
    if widget == "password" or rule.get("sensitive"):
        return "password"
    is_long = kind == "array" or widget == "textarea" or rule.get("maxLength", 0) > _MANY_LINES
    return "textarea" if is_long else "text"


def _hint(rule: Mapping[str, Any]) -> str:
    text = str(rule.get("description", ""))
    if rule.get("type") == "array" and not _choices(rule)[0]:
        return f"{text} One per line.".strip()
    low, high = rule.get("minimum"), rule.get("maximum")
    if low is not None and high is not None:
        return f"{text} From {low} to {high}.".strip()
    return text


def _shown(field: FormField, value: Any) -> Any:
    if field.type == "checkbox":
        return bool(value)
    if field.type == "checkboxes":
        return [str(each) for each in value or ()]
    if field.json_type == "array":
        return "\n".join(str(each) for each in value or ())
    return "" if value is None else str(value)


def _read_one(field: FormField, sent: SentForm) -> Any:
    if field.type == "checkbox":
        return sent.get(field.name) == _YES
    if field.type == "checkboxes":
        return [_chosen(field, each) for each in sent.getlist(field.name)]
    typed = sent.get(field.name)
    return _read_text(field, typed) if isinstance(typed, str) else None


def _read_text(field: FormField, typed: str) -> Any:
    typed = typed.replace("\r\n", "\n").strip()
    if field.json_type == "array":
        return [line.strip() for line in typed.split("\n") if line.strip()]
    if field.options:
        return _chosen(field, typed)
    if not typed and field.type == "password":
        return field.value or None  # never shown: what is set stays, by the mask that stands for it
    if not typed:
        return "" if field.may_be_empty else None
    return _number(typed) if field.json_type in ("integer", "number") else typed


def _chosen(field: FormField, typed: Any) -> Any:
    return next(
        (each for each in field.choices if str("" if each is None else each) == typed), typed
    )


def _number(typed: str) -> Any:
    try:
        number = float(typed.replace(",", "")) if "." in typed else int(typed.replace(",", ""))
    except ValueError:
        return typed
    return number if number == number and abs(number) != float("inf") else typed  # noqa: PLR0124
