"""How does the OpenAPI document describe costs?"""

from collections.abc import Mapping

from carrel.core.documents import NUMBER, OPTIONAL_TEXT, TEXT, Schema, many, ref, thing

_ITEM: Mapping[str, Schema] = {"id": TEXT, "name": TEXT, "costs": many(ref("Cost"))}
SCHEMAS: Mapping[str, Schema] = {
    "Cost": thing({"cost": NUMBER, "currency": TEXT, "date": OPTIONAL_TEXT}),
    "CostItem": thing(_ITEM),
}
_SERVICE = thing({**_ITEM, "user_resources": many(ref("CostItem"))})
ANSWERS: Mapping[str, Schema] = {
    "show_costs": thing(
        {
            "core_services": many(ref("Cost")),
            "shared_services": many(ref("CostItem")),
            "workspaces": many(ref("CostItem")),
        }
    ),
    "show_workspace_costs": thing({**_ITEM, "workspace_services": many(_SERVICE)}),
}
