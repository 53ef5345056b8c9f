"""ACRO's own decisions about tables. Run by ACRO's environment, not by Carrel's.

From standard input: a JSON list of tables, each a list of rows, each a list of cells, each the
list of the contributions to it. To standard output: for each table, by ACRO's name of the check,
the cells [row, column] that it marks, and the status that it gives.
"""

import json
import logging
import sys

logging.disable(logging.CRITICAL)

import pandas as pd  # noqa: E402
from acro import ACRO  # noqa: E402
from acro.sdcchecks import SDCChecks, SDCEvidence  # noqa: E402
from acro.tablemodeldetails import TableModelDetails  # noqa: E402

SDCEvidence.__repr__ = object.__repr__  # drawn for a log that nobody keeps: half of the time


def decided(checks, risk, table):
    rows = [
        (row, column, value)
        for row, cells in enumerate(table)
        for column, cell in enumerate(cells)
        for value in cell
    ]
    frame = pd.DataFrame(rows, columns=["row", "column", "value"])
    model = TableModelDetails(
        [frame["row"]], [frame["column"]], frame["value"], "crosstab", {"aggfunc": "sum"}, risk
    )
    evidence = checks.get_evidence_forall_analyses(["Sum", "Crosstabs"], model)
    found = {}
    for name in ("MinimumThresholdCheck", "NKCheck", "PPercentCheck", "PresenceOfZeroCheck"):
        status, _, mask = checks.check_to_method[name]("Sum", evidence, model)
        cells = [
            [int(row), int(column)]
            for column, marks in mask.items()
            for row, is_marked in marks.items()
            if is_marked
        ]
        found[name] = {"status": status, "cells": cells}
    return found


def main():
    session = ACRO(suppress=False)
    checks = SDCChecks(session.config)
    tables = json.load(sys.stdin)
    json.dump([decided(checks, session.config, table) for table in tables], sys.stdout)


main()
