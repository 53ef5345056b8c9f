"""What has a resource used, and how did it come to be what it is? For workspaces and resources."""

from carrel.cli import refer
from carrel.cli.client import Api
from carrel.cli.output import fields, moment, show, size, table


def show_usage(api: Api, found: refer.Found, *, as_json: bool) -> None:
    """Print what a resource has used so far."""
    answer = api.get(f"/api{found['resourcePath']}/usage")
    used = answer["usage"]
    pairs = {
        "Processor seconds": f"{used['cpu_seconds']:.1f}",
        "Memory now": size(used["memory_bytes"]),
        "Memory at most": size(used["memory_peak_bytes"]),
        "Disk": size(used["disk_bytes"]),
        "Through the doors": size(used["door_bytes"]),
        "Hours metered": f"{used['metered_seconds'] / 3600:.2f}",
        "Last sample (UTC)": moment(used["sampled_at"]),
    }
    show(answer, as_json=as_json, human=fields(pairs))


def show_history(api: Api, found: refer.Found, *, as_json: bool) -> None:
    """Print the former states of a resource, oldest first."""
    answer = api.get(f"/api{found['resourcePath']}/history")
    rows = [
        (
            each["resourceVersion"],
            moment(each["updatedWhen"]),
            each["user"]["name"],
            each["templateVersion"],
            each["isEnabled"],
        )
        for each in answer["resource_history"]
    ]
    columns = ("Version", "Until (UTC)", "Changed by", "Template", "Enabled")
    show(answer, as_json=as_json, human=table(columns, rows, empty="It was never changed."))


def show_operations(api: Api, found: refer.Found, *, as_json: bool) -> None:
    """Print the operations of a resource, oldest first."""
    answer = api.get(f"/api{found['resourcePath']}/operations")
    rows = [
        (one["id"], one["action"], one["status"], moment(one["createdWhen"]), one["user"]["name"],
         one["message"])
        for one in answer["operations"]
    ]  # fmt: skip
    columns = ("ID", "Action", "Status", "Begun (UTC)", "Asked by", "Message")
    show(answer, as_json=as_json, human=table(columns, rows, empty="Nothing was done to it yet."))
