"""Save tables so that the airlock can compare them with everything that left before.

A number does not say which people it counts. `save` writes a table as CSV and, beside it, what it
describes: dataset, population, variables, statistic. With that the airlock can tell, before a
person looks, whether this table and earlier ones together give somebody away; without it the
reviewer reads "cannot be compared".

    import carrel_outputs as outputs

    table = outputs.count(patients, rows="region", columns="sex", hide_below=10, round_to=5)
    outputs.save(table, "by_region.csv", dataset="admissions", version="2026-01")

    means = outputs.summed(patients, "stay", rows="region", statistic="mean")
    outputs.save(means, "stays.csv", dataset="admissions", version="2026-01")
"""

import json
import os
from pathlib import Path

import pandas as pd

OUTBOX = "/outbox"
HIDDEN = "[redacted]"
TOTAL = "Total"


def count(data, rows, columns=None, *, totals=False, hide_below=None, round_to=None):
    """Return how many rows of `data` there are for each category: a cross table.

    `rows` is the name of a column or a list of them, `columns` one more. `hide_below` hides counts
    under it (0 stays), `round_to` is 5 or "midpoint6". With `totals` the sums stand beside; of
    rounded counts they are the sums of what is shown. Nothing is hidden or rounded unasked.
    """
    index = _listed(rows)
    across = [data[columns]] if columns else [pd.Series("n", index=data.index, name=None)]
    table = pd.crosstab([data[name] for name in index], across, dropna=False)
    table.columns.name = columns
    rounding = _rounding(round_to)
    table = table.map(lambda value: _rounded(int(value), rounding))
    if totals:
        table = _with_totals(table, has_columns=columns is not None)
    if hide_below is not None:
        table = table.map(lambda value: HIDDEN if 0 < value < hide_below else value)
    table.attrs.update(statistic="count", rounding=rounding)
    return table


def summed(data, value, rows, columns=None, *, statistic="sum"):
    """Return the sum or mean of a column of `data` for each category.

    How many people each cell rests on, and how much the largest two of them give, goes into what
    `save` writes beside the table: for the reviewer, and not for release.
    """
    if statistic not in ("sum", "mean"):
        raise ValueError("statistic must be 'sum' or 'mean'")
    index = _listed(rows)
    keys = [*index, *_listed(columns)]
    groups = data.dropna(subset=[value]).groupby(keys, observed=True)[value]
    table = groups.sum() if statistic == "sum" else groups.mean()
    cells = {_key(at): _contribution(values) for at, values in groups}
    table = table.unstack(columns) if columns else table.to_frame(value)
    table.columns.name = columns
    table.attrs.update(statistic=statistic, rounding="none")
    table.attrs["contributions"] = [
        {"row": row + 2, "column": len(index) + column + 1, **cells[key]}
        for row, down in enumerate(table.index)
        for column, head in enumerate(table.columns)
        if (key := (*_key(down), head) if columns else _key(down)) in cells
    ]
    return table


def save(
    table,
    name,
    *,
    dataset,
    version,
    population="",
    within=(),
    statistic=None,
    rounding=None,
    degrees_of_freedom=None,
    folder=OUTBOX,
):
    """Write `table` as CSV into the outbox, and beside it what it describes. Returns the path.

    dataset, version    which data was analysed, and which state of it
    population          who is counted, as the analysis filters: "age >= 65"; empty for everybody
    within              populations of other tables of which this one is a part
    statistic, rounding only for tables that `count` and `summed` did not make

    The table's index and its columns must be named after their variables.
    """
    path = Path(folder, name)
    if path.suffix != ".csv":
        raise ValueError("the name of a table must end in .csv")
    meta = {
        "carrel": 1,
        "dataset": dataset,
        "dataset_version": str(version),
        "population": population,
        "within": list(within),
        "rows": [_variable(table.index.get_level_values(at)) for at in range(table.index.nlevels)],
        "columns": [_variable(table.columns)] if table.columns.name is not None else [],
        "statistic": statistic or table.attrs.get("statistic", "other"),
        "rounding": rounding or table.attrs.get("rounding", "none"),
        "contributions": table.attrs.get("contributions", []),
        "degrees_of_freedom": degrees_of_freedom,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(Path(f"{path}.carrel.json"), json.dumps(meta, ensure_ascii=False, indent=1) + "\n")
    _write(path, table.to_csv(lineterminator="\n"))
    return path


def _write(path, text):
    """Write the whole file or none of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _variable(labels):
    if labels.name is None:
        raise ValueError(
            "a variable of this table has no name: set table.index.names and table.columns.name"
        )
    if isinstance(labels, pd.CategoricalIndex):
        found = list(labels.categories)
    else:
        found = list(dict.fromkeys(labels))
    return {"name": str(labels.name), "categories": [str(each) for each in found if each != TOTAL]}


def _listed(names):
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def _key(at):
    return at if isinstance(at, tuple) else (at,)


def _rounding(round_to):
    known = {None: "none", 5: "5", "midpoint6": "midpoint6"}
    if round_to not in known:
        raise ValueError("round_to must be 5, 'midpoint6' or None")
    return known[round_to]


def _rounded(value, rounding):
    if rounding == "5":
        return 5 * ((value + 2) // 5)
    if rounding == "midpoint6":
        return 0 if value == 0 else 6 * -(-value // 6) - 3
    return value


def _with_totals(table, *, has_columns):
    if isinstance(table.index, pd.MultiIndex):
        raise ValueError("totals are for one row variable; sum others up in tables of their own")
    table = table.copy()
    table.index = table.index.astype(object)
    if has_columns:
        table.columns = table.columns.astype(object)
        table[TOTAL] = table.sum(axis=1)
    table.loc[TOTAL] = table.sum(axis=0)
    return table


def _contribution(values):
    largest = sorted((float(each) for each in values), reverse=True)
    return {
        "count": len(largest),
        "total": repr(sum(largest)),
        "largest": repr(largest[0]),
        "second": repr(largest[1] if len(largest) > 1 else 0.0),
        "has_negative": largest[-1] < 0,
    }
