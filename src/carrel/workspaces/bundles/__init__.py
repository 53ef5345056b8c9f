"""Is this folder a template bundle, and what does it say?

`carrel_kind` reads Carrel's own bundles, `azuretre` those of AzureTRE, `registration` what a
program posts; `wanted` is what all of them must come to, `problems` how what is wrong is told
with file and line.
"""

from carrel.workspaces.bundles.carrel_kind import find_bundles, shipped_folder
from carrel.workspaces.bundles.folders import Bundle, Inspection, inspect
from carrel.workspaces.bundles.problems import InvalidBundle, Problem
from carrel.workspaces.bundles.registration import (
    InvalidRegistration,
    Registration,
    template_of,
)

__all__ = [
    "Bundle",
    "Inspection",
    "InvalidBundle",
    "InvalidRegistration",
    "Problem",
    "Registration",
    "find_bundles",
    "inspect",
    "shipped_folder",
    "template_of",
]
