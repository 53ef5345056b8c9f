"""What may the lists of this room be sorted by? The values are AzureTRE's words."""

from enum import StrEnum


class ResourceOrder(StrEnum):
    """What lists of resources may be sorted by."""

    CREATED = "createdWhen"
    UPDATED = "updatedWhen"
    NAME = "displayName"
    TEMPLATE = "templateName"
    STATUS = "deploymentStatus"


class OperationOrder(StrEnum):
    """What lists of operations may be sorted by."""

    CREATED = "createdWhen"
    UPDATED = "updatedWhen"


class HistoryOrder(StrEnum):
    """What the history of a resource may be sorted by."""

    VERSION = "resourceVersion"


class TemplateOrder(StrEnum):
    """What lists of templates may be sorted by."""

    TITLE = "title"
    NAME = "name"
