"""Do these properties fit the template's JSON Schema, and if not, what would?

`parts` which rules speak about a value · `values` what no schema has to think of · `defaults`
what is filled in · `problems` what does not fit, in sentences · `changes` what may become of
properties later · `secrets` which values are sensitive · `soundness` whether a schema is one.
"""

from carrel.workspaces.schemas.changes import changed_properties, for_update, updateable_names
from carrel.workspaces.schemas.defaults import REQUIRED, merge_defaults, with_defaults
from carrel.workspaces.schemas.problems import check_properties
from carrel.workspaces.schemas.secrets import sensitive_pointers
from carrel.workspaces.schemas.soundness import normalise, schema_problems
from carrel.workspaces.schemas.values import BYTES_LIMIT, InvalidProperties, check_values

__all__ = [
    "BYTES_LIMIT",
    "REQUIRED",
    "InvalidProperties",
    "changed_properties",
    "check_properties",
    "check_values",
    "for_update",
    "merge_defaults",
    "normalise",
    "schema_problems",
    "sensitive_pointers",
    "updateable_names",
    "with_defaults",
]
