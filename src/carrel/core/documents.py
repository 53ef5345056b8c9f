"""How does a room describe its JSON answers? Builders of JSON Schema for the OpenAPI document.

A room's `documents.py` has `SCHEMAS` (components by name), `ANSWERS` (what each operation answers
when all is well, by the name of its route function) and `EXAMPLES` (request bodies, likewise).
"""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
UUID: Schema = {"type": "string", "format": "uuid"}
OPTIONAL_UUID: Schema = {"type": ["string", "null"], "format": "uuid"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
TIME: Schema = {"type": "number", "description": "Seconds since 1970 (POSIX), UTC."}
OPTIONAL_TIME: Schema = {"type": ["number", "null"], "description": TIME["description"]}
ANY: Schema = {}
OPEN: Schema = {"type": "object"}


def thing(
    required: Mapping[str, Schema],
    optional: Mapping[str, Schema] | None = None,
    *,
    description: str = "",
) -> Schema:
    """Return the schema of an object; fields that are not named may be added later."""
    shown: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        shown["required"] = list(required)
    if description:
        shown["description"] = description
    return shown


def ref(name: str) -> Schema:
    """Return a reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(each: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": each}


def listing(key: str, each: Schema) -> Schema:
    """Return the schema of a list answer: AzureTRE's shape, and the cursor of the next page."""
    return thing({key: many(each)}, {"nextCursor": TEXT})


def choice(*values: str) -> Schema:
    """Return the schema of a text out of a fixed set."""
    return {"type": "string", "enum": list(values)}
