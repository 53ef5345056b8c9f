"""Where are accounts, roles, sessions and failed sign-ins kept?"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from carrel.core.database import Moment, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("username", String(32), nullable=False, unique=True),
    Column("display_name", String(100), nullable=False),
    Column("email", String(254)),
    Column("password_hash", String),  # none: signs in through another identity provider
    Column("totp_secret", String),  # encrypted by core.secrets
    Column("totp_pending", String),  # encrypted; not confirmed yet
    Column("totp_last_step", Integer),  # a code counts once
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("kind", String(16), nullable=False, server_default="person"),  # or `application`
    Column("tokens_from", Moment),  # access tokens that were made earlier are over
)

applications = Table(
    "applications",
    metadata,
    Column("id", String(36), primary_key=True),  # the client id
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False, unique=True),
    Column("secret_hash", String(64), nullable=False),  # SHA-256 of 256 random bits
    Column("secret_made_at", Moment, nullable=False),
    Column("secret_expires_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
)

external_identities = Table(
    "external_identities",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),  # the issuer's `oid`
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
)

account_roles = Table(
    "account_roles",
    metadata,
    Column("account_id", String(36), ForeignKey("accounts.id"), primary_key=True),
    Column("role", String(32), primary_key=True),
)

memberships = Table(
    "memberships",
    metadata,
    Column("workspace_id", String(36), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.id"), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("created_at", Moment, nullable=False),
    Index("ix_memberships_account", "account_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_seen_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("key", String(64), primary_key=True),  # hash of `account:<name>` or `client:<address>`
    Column("failures", Integer, nullable=False),
    Column("last_at", Moment, nullable=False, index=True),
    Column("wait_until", Moment),
)

access_epochs = Table(
    "access_epochs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("epoch", Integer, nullable=False),
)
