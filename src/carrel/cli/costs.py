"""What has been spent? The whole TRE's costs, or those of one workspace."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from carrel.cli import client, refer
from carrel.cli.output import JsonFlag, show, table

Day = Annotated[str, typer.Option(help="Day, for instance 2026-03-01.")]


def costs(
    workspace: Annotated[str, typer.Option(help="Only of this workspace (id or name).")] = "",
    daily: Annotated[bool, typer.Option("--daily", help="One line for each day.")] = False,
    from_date: Day = "",
    to_date: Day = "",
    json: JsonFlag = False,
) -> None:
    """Show what the TRE costs (administrators), or a workspace down to each user resource."""
    api = client.signed_in()
    path = "/api/costs"
    if workspace:
        path = f"/api{refer.workspace(api, workspace)['resourcePath']}/costs"
    found = api.get(
        path,
        granularity="Daily" if daily else None,
        from_date=from_date or None,
        to_date=to_date or None,
    )
    columns = ("Of", "Day", "Cost", "Currency")
    human = table(columns, list(_rows(found)), empty="Nothing was spent.")
    show(found, as_json=json, human=human)


def _rows(found: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, str, str, str]]:
    """Yield a line for each cost of an item and, indented, of what lies in it."""
    for one in found.get("costs", ()):
        name = "  " * depth + str(found.get("name", ""))
        yield name, one["date"] or "", f"{one['cost']:.2f}", one["currency"]
    for key, value in found.items():
        if key != "costs" and isinstance(value, list):
            for item in value:
                yield from _rows(item, depth + 1 if "id" in found else depth)
