"""What are templates, resources and operations, and which changes may they go through?

Pure: `resources` the four kinds and what lies about them, `operations` their changes step by
step, `templates` the recipes, what they allow, and their versions.
"""

from carrel.workspaces.rules.operations import (
    FAILURE_WORDS,
    FINAL,
    KNOWN_ACTIONS,
    START_ACTIONS,
    SUCCESS_WORDS,
    Operation,
    Progress,
    Step,
    check_cancel,
    check_retry,
    status_word,
)
from carrel.workspaces.rules.resources import (
    FIRST_PORT,
    LAST_PORT,
    PACKAGE_PORT,
    PROXY_PORT,
    Endpoint,
    HistoryEntry,
    OpenWorkspace,
    Person,
    Power,
    Resource,
    ResourceKind,
)
from carrel.workspaces.rules.templates import (
    Policy,
    RefusedVersion,
    RuntimeNeeds,
    Template,
    TemplateAction,
    WorkspacePolicy,
    check_version_change,
    parse_version,
    upgrades_above,
    workspace_policy,
)

__all__ = [
    "FAILURE_WORDS",
    "FINAL",
    "FIRST_PORT",
    "KNOWN_ACTIONS",
    "LAST_PORT",
    "PACKAGE_PORT",
    "PROXY_PORT",
    "START_ACTIONS",
    "SUCCESS_WORDS",
    "Endpoint",
    "HistoryEntry",
    "OpenWorkspace",
    "Operation",
    "Person",
    "Policy",
    "Power",
    "Progress",
    "RefusedVersion",
    "Resource",
    "ResourceKind",
    "RuntimeNeeds",
    "Step",
    "Template",
    "TemplateAction",
    "WorkspacePolicy",
    "check_cancel",
    "check_retry",
    "check_version_change",
    "parse_version",
    "status_word",
    "upgrades_above",
    "workspace_policy",
]
