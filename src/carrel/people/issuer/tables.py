"""Where are codes, refresh tokens and device sign-ins kept? Only as hashes."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from carrel.core.database import Moment, metadata

token_grants = Table(
    "token_grants",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("client_id", String(36), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)
"""What a person agreed to once; ending it ends every refresh token that came of it."""

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column(
        "grant_id",
        String(36),
        ForeignKey("token_grants.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment),  # it counts once; a second use ends the grant
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False),
    Column("client_id", String(36), nullable=False),
    Column("redirect_uri", String, nullable=False),
    Column("challenge", String(64), nullable=False),
    Column("scope", String, nullable=False),
    Column("nonce", String, nullable=False),
    Column("signed_in_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("used_at", Moment),
    Column("grant_id", String(36)),  # what came of it
    Index("ix_authorization_codes_account", "account_id"),
)

device_codes = Table(
    "device_codes",
    metadata,
    Column("device_hash", String(64), primary_key=True),
    Column("user_hash", String(64), nullable=False, unique=True),
    Column("client_id", String(36), nullable=False),
    Column("scope", String, nullable=False),
    Column("address", String(64), nullable=False, index=True),  # who asked
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("interval_seconds", Integer, nullable=False),
    Column("polled_at", Moment),
    Column("account_id", String(36), ForeignKey("accounts.id"), index=True),  # who answered
    Column("is_allowed", Boolean),
)
