"""How does one resource's change reach into others? AzureTRE's pipelines, as data.

A template may say, per action, which steps belong to it: `main` is the resource itself, every
other step changes properties of another resource. `parse` reads them, `with_pipeline` puts them
around a resource's own steps when an operation is asked for, `substitute` fills in what was only
a reference, and `changing` holds what the worker does when it takes such a step.
"""

from carrel.workspaces.pipelines.effects import changed_by
from carrel.workspaces.pipelines.parsing import (
    MAIN,
    PipelineProperty,
    PipelineStep,
    parse,
    step_of,
)
from carrel.workspaces.pipelines.planning import with_pipeline
from carrel.workspaces.pipelines.substitution import substitute, view

__all__ = [
    "MAIN",
    "PipelineProperty",
    "PipelineStep",
    "changed_by",
    "parse",
    "step_of",
    "substitute",
    "view",
    "with_pipeline",
]
