"""Where are proofs kept?"""

from sqlalchemy import Column, Float, Integer, String, Table

from carrel.core.database import Json, Moment, metadata

proofs = Table(
    "proofs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("made_at", Moment, nullable=False, index=True),
    Column("made_by", String(100), nullable=False),
    Column("level", String(1), nullable=False),
    Column("probes", Integer, nullable=False),
    Column("open", Integer, nullable=False),
    Column("proven", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("skipped", Json, nullable=False),
    Column("report", Json, nullable=False),
)
