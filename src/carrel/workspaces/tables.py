"""Where do templates, resources, operations and meters lie in the database?"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Computed,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.compiler import compiles

from carrel.core.database import Json, Moment, metadata
from carrel.core.ids import new_etag

_ID = String(36)


class _Generated(Computed):
    """A generated column; SQLite cannot add a stored one later, PostgreSQL has no other."""


@compiles(_Generated, "postgresql")
def _stored(element: _Generated, compiler: Any, **kw: Any) -> str:
    spelled = compiler.sql_compiler.process(element.sqltext, **kw)
    return f"GENERATED ALWAYS AS ({spelled}) STORED"


class _DisplayName(ColumnElement[str]):
    """A resource's display name in small letters, in the database's own words."""

    type = String()
    inherit_cache = False


@compiles(_DisplayName, "sqlite")
def _sqlite_name(element: _DisplayName, compiler: Any, **kw: Any) -> str:
    del element, compiler, kw
    return "lower(coalesce(json_extract(properties, '$.display_name'), ''))"


@compiles(_DisplayName, "postgresql")
def _postgresql_name(element: _DisplayName, compiler: Any, **kw: Any) -> str:
    del element, compiler, kw
    return "lower(coalesce(properties::jsonb ->> 'display_name', ''))"


def _living(name: str, *columns: str) -> Index:
    """Return an index of the resources that are not deleted, for a list in this order."""
    living = text("deleted_at IS NULL")
    return Index(name, *columns, sqlite_where=living, postgresql_where=living)


templates = Table(
    "templates",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("parent", String(64), primary_key=True),  # "" where the kind has none
    Column("name", String(64), primary_key=True),
    Column("version", String(32), primary_key=True),
    Column("is_current", Boolean, nullable=False),
    Column("title", String, nullable=False),
    Column("body", String, nullable=False),  # JSON whose order counts: forms follow it
    Column("registered_at", Moment, nullable=False),
    Column("channel", String(16)),  # empty: current
    Column("withdrawal", String),  # why nothing new may be made of it; empty: it may
)

workspace_catalogues = Table(
    "workspace_catalogues",
    metadata,
    # No row: the workspace may use every service template of the TRE.
    Column("workspace_id", _ID, ForeignKey("resources.id"), primary_key=True),
    Column("entries", Json, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("updated_by", Json, nullable=False),
)

resources = Table(
    "resources",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("template_name", String(64), nullable=False),
    Column("template_version", String(32), nullable=False),
    Column("template_parent", String(64), nullable=False),
    Column("properties", Json, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("status", String(32), nullable=False),
    Column("etag", String(32), nullable=False),
    Column("version", Integer, nullable=False),
    Column("workspace_id", _ID),
    Column("parent_id", _ID),
    Column("owner_id", _ID),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("updated_by", Json, nullable=False),
    Column("is_deployed", Boolean, nullable=False),
    Column("wants_running", Boolean, nullable=False),
    Column("power", String(16), nullable=False),
    Column("port", Integer),
    Column("token_salt", String(64), nullable=False),  # new with each start
    # What must be unique among the living; emptied when the resource is deleted.
    Column("unique_name", String, unique=True),
    Column("deleted_at", Moment),
    Column("sort_name", String, _Generated(_DisplayName()), nullable=False),
    # Another one after every change of the row, whoever made it: tells lists what is still true.
    Column("stamp", String(16), default=new_etag, onupdate=new_etag),
    UniqueConstraint("workspace_id", "port"),
    _living("ix_resources_created", "kind", "created_at", "id"),
    _living("ix_resources_updated", "kind", "updated_at", "id"),
    _living("ix_resources_name", "kind", "sort_name", "id"),
    _living("ix_resources_inside", "workspace_id", "kind", "created_at", "id"),
    _living("ix_resources_below", "parent_id", "kind", "created_at", "id"),
    Index("ix_resources_workspace", "workspace_id", "deleted_at"),
    Index("ix_resources_parent", "parent_id", "deleted_at"),
)

resource_history = Table(
    "resource_history",
    metadata,
    Column("resource_id", _ID, ForeignKey("resources.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("properties", Json, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("template_version", String(32), nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("updated_by", Json, nullable=False),
)

operations = Table(
    "operations",
    metadata,
    # Grows with every operation: the order in which one resource tree takes them.
    Column(
        "number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("id", _ID, nullable=False, unique=True),
    Column("resource_id", _ID, ForeignKey("resources.id"), nullable=False),
    Column("resource_path", String, nullable=False),
    Column("resource_version", Integer, nullable=False),
    Column("workspace_id", _ID),
    Column("action", String(32), nullable=False),
    Column("progress", String(16), nullable=False),
    Column("message", String, nullable=False),
    Column("user", Json, nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("is_final", Boolean, nullable=False),
    Column("revision", Integer),  # grows with every change of it or of a step; empty is 0
    Column("limit_seconds", Float),  # how long it may run; empty: for ever
    Column("started_at", Moment),
    Column("cancelled_by", String),  # the name of who asked
    Index("ix_operations_resource", "resource_id", "number"),
    Index("ix_operations_active", "is_final", "workspace_id"),
)

operation_steps = Table(
    "operation_steps",
    metadata,
    Column("operation_id", _ID, ForeignKey("operations.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", _ID, nullable=False),
    Column("name", String(64), nullable=False),
    Column("title", String, nullable=False),
    Column("resource_id", _ID, nullable=False),
    Column("progress", String(16), nullable=False),
    Column("message", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("pipeline", Json),  # the step of a template's pipeline that it came from
    Column("undo", String),  # sealed: how to undo what it changed on another resource
)

drift = Table(
    "drift",
    metadata,
    Column("resource_id", _ID, primary_key=True),
    Column("aspect", String(32), primary_key=True),
    Column("workspace_id", _ID),
    Column("should_be", String, nullable=False),
    Column("really_is", String, nullable=False),
    Column("since", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("what_was_done", String, nullable=False),
)

resource_secrets = Table(
    "resource_secrets",
    metadata,
    Column("resource_id", _ID, ForeignKey("resources.id"), primary_key=True),
    Column("pointer", String, primary_key=True),  # JSON pointer into the properties
    Column("sealed", String, nullable=False),
)

address_ranges = Table(
    "address_ranges",
    metadata,
    Column("resource_id", _ID, ForeignKey("resources.id"), primary_key=True),
    Column("workspace_id", _ID, nullable=False),
    Column("cidr", String(18), nullable=False),
    Column("first", BigInteger, nullable=False, unique=True),
    Column("last", BigInteger, nullable=False),
    Index("ix_address_ranges_workspace", "workspace_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("actor_id", String(64), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("resource_id", _ID, ForeignKey("resources.id"), nullable=False),
    Column("operation_id", _ID, ForeignKey("operations.id"), nullable=False),
    Column("created_at", Moment, nullable=False),
)

host_ids = Table(
    "host_ids",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("workspace_id", _ID, nullable=False),
    Column("account_id", String(64), nullable=False),  # "" for the workspace's own group
    Column("name", String(32), nullable=False),
    UniqueConstraint("workspace_id", "account_id"),
)

usage_samples = Table(
    "usage_samples",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("at", Moment, nullable=False),
    Column("workspace_id", _ID, nullable=False),
    Column("resource_id", _ID),  # empty: the workspace as a whole
    Column("interval_seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("memory_peak_bytes", BigInteger, nullable=False),
    Column("disk_bytes", BigInteger, nullable=False),
    Column("door_bytes", BigInteger, nullable=False),
    Column("processes", Integer, nullable=False),
    Column("source", String(16), nullable=False),
    Index("ix_usage_samples_subject", "workspace_id", "resource_id", "at"),
)

usage_counters = Table(
    "usage_counters",
    metadata,
    Column("subject", _ID, primary_key=True),
    Column("workspace_id", _ID, nullable=False),
    Column("epoch", String, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("door_bytes", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_usage_counters_workspace", "workspace_id"),
)
