"""Where are entry tickets and the bytes through the door kept?"""

from sqlalchemy import BigInteger, Column, ForeignKey, String, Table

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
    Column("resource_id", String(36), primary_key=True),
    Column("direction", String(3), primary_key=True),  # in: to the tool; out: to the browser
    Column("workspace_id", String(36), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
"""Counters that never run backwards: what went through the door to each tool, ever."""
