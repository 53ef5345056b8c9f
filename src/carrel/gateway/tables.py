"""Where are entry tickets and the bytes through the door kept?"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from carrel.core.database import Moment, metadata

gateway_tickets = Table(
    "gateway_tickets",
    metadata,
    Column("ticket_hash", String(64), primary_key=True),
    Column("session_id", String(36), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("workspace_id", String(36), nullable=False),
    Column("resource_id", String(36), nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

door_bytes = Table(
    "door_bytes",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("resource_id", String(36), nullable=False),
    Column("workspace_id", String(36), nullable=False),
    Column("direction", String(3), nullable=False),  # in: to the tool; out: to the browser
    Column("bytes", BigInteger, nullable=False),  # since the sample before
    Column("sampled_at", Moment, nullable=False),
    Index("ix_door_bytes_resource", "resource_id", "sampled_at"),
)
