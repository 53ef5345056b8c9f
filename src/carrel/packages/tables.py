"""What came in through the doors for software, and what was tried?"""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from carrel.core.database import Moment, metadata

package_downloads = Table(
    "package_downloads",
    metadata,
    Column("workspace_id", String(36), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("ecosystem", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("version", String, nullable=False),
    Column("filename", String(255), nullable=False),
    Column("first_at", Moment, nullable=False),
    Index("ix_package_downloads_name", "ecosystem", "name"),
    Index("ix_package_downloads_first", "workspace_id", "first_at", "digest"),
)
"""The first download of each file by each workspace: answers "who has X"."""

package_misses = Table(
    "package_misses",
    metadata,
    Column("workspace_id", String(36), primary_key=True),
    Column("ecosystem", String(16), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("at", Moment, nullable=False),
    Index("ix_package_misses_name", "ecosystem", "name", "at"),
)
"""Names that upstream lately did not know, by who asked: each of them left the building."""

package_bytes = Table(
    "package_bytes",
    metadata,
    Column("workspace_id", String(36), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("received_bytes", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
"""Counters that never run backwards: what the package gateway sent into each workspace."""

egress_bytes = Table(
    "egress_bytes",
    metadata,
    Column("workspace_id", String(36), primary_key=True),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("received_bytes", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
"""Counters that never run backwards: what ended connections of `egress_log` carried."""

egress_log = Table(
    "egress_log",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("workspace_id", String(36), nullable=False),
    Column("at", Moment, nullable=False),
    Column("host", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("received_bytes", BigInteger, nullable=False),
    Index("ix_egress_log_workspace", "workspace_id", "at"),
)
"""One row for each connection of the egress proxy, written before the first byte leaves."""
