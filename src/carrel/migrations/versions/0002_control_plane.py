"""Tables: the control plane (tokens, sealed properties, pipelines, drift)."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from carrel.migrations.columns import display_name

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward; there is no way back but a backup."""
    _applications()
    _issuer()
    _resources()
    _templates()
    _operations()
    _lists()
    _airlock()


def _resources() -> None:
    op.create_table(
        "resource_secrets",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("pointer", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"],
            ["resources.id"],
            name=op.f("fk_resource_secrets_resource_id_resources"),
        ),
        sa.PrimaryKeyConstraint("resource_id", "pointer", name=op.f("pk_resource_secrets")),
    )
    op.create_table(
        "address_ranges",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("workspace_id", sa.String(length=36), nullable=False),
        sa.Column("cidr", sa.String(length=18), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"],
            ["resources.id"],
            name=op.f("fk_address_ranges_resource_id_resources"),
        ),
        sa.PrimaryKeyConstraint("resource_id", name=op.f("pk_address_ranges")),
        sa.UniqueConstraint("first", name=op.f("uq_address_ranges_first")),
    )
    op.create_index("ix_address_ranges_workspace", "address_ranges", ["workspace_id"])


def _templates() -> None:
    op.add_column("templates", sa.Column("channel", sa.String(length=16)))
    op.add_column("templates", sa.Column("withdrawal", sa.String()))
    op.create_table(
        "workspace_catalogues",
        sa.Column("workspace_id", sa.String(length=36), nullable=False),
        sa.Column("entries", sa.String(), nullable=False),
        sa.Column("updated_at", sa.String(length=32), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["resources.id"],
            name=op.f("fk_workspace_catalogues_workspace_id_resources"),
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_workspace_catalogues")),
    )


def _applications() -> None:
    op.add_column(
        "accounts",
        sa.Column("kind", sa.String(length=16), nullable=False, server_default="person"),
    )
    op.add_column("accounts", sa.Column("tokens_from", sa.String(length=32)))
    op.create_table(
        "applications",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("secret_made_at", sa.String(length=32), nullable=False),
        sa.Column("secret_expires_at", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_applications_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_applications")),
        sa.UniqueConstraint("account_id", name=op.f("uq_applications_account_id")),
    )
    op.create_table(
        "external_identities",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_external_identities_account_id_accounts"),
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_external_identities")),
    )
    op.create_index(
        op.f("ix_external_identities_account_id"), "external_identities", ["account_id"]
    )


def _operations() -> None:
    added: dict[str, list[sa.Column[Any]]] = {
        "work_items": [
            sa.Column("failures", sa.Integer()),
            sa.Column("parked_at", sa.String(length=32)),
            sa.Column("error", sa.String()),
        ],
        "operations": [
            sa.Column("revision", sa.Integer()),
            sa.Column("limit_seconds", sa.Float()),
            sa.Column("started_at", sa.String(length=32)),
            sa.Column("cancelled_by", sa.String()),
        ],
        "operation_steps": [sa.Column("pipeline", sa.String()), sa.Column("undo", sa.String())],
    }
    for table, columns in added.items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "drift",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("aspect", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", sa.String(length=36)),
        sa.Column("should_be", sa.String(), nullable=False),
        sa.Column("really_is", sa.String(), nullable=False),
        sa.Column("since", sa.String(length=32), nullable=False),
        sa.Column("last_seen", sa.String(length=32), nullable=False),
        sa.Column("what_was_done", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "aspect", name=op.f("pk_drift")),
    )


def _lists() -> None:
    """Give every order of a list its index."""
    living = sa.text("deleted_at IS NULL")
    op.drop_index("ix_resources_living", "resources")
    op.add_column("resources", sa.Column("stamp", sa.String(length=16)))
    op.add_column("resources", display_name())
    for name, columns in {
        "ix_resources_created": ["kind", "created_at", "id"],
        "ix_resources_updated": ["kind", "updated_at", "id"],
        "ix_resources_name": ["kind", "sort_name", "id"],
        "ix_resources_inside": ["workspace_id", "kind", "created_at", "id"],
        "ix_resources_below": ["parent_id", "kind", "created_at", "id"],
    }.items():
        op.create_index(name, "resources", columns, sqlite_where=living, postgresql_where=living)
    for name in ("workspace", "action", "subject"):
        op.drop_index(f"ix_audit_events_{name}", "audit_events")
        op.create_index(f"ix_audit_events_{name}", "audit_events", [name, "seq"])
    op.create_index(
        "ix_package_downloads_first",
        "package_downloads",
        ["workspace_id", "first_at", "digest"],
    )


def _issuer() -> None:
    op.create_table(
        "token_grants",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("client_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_token_grants_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_grants")),
    )
    op.create_index(op.f("ix_token_grants_account_id"), "token_grants", ["account_id"])
    op.create_index(op.f("ix_token_grants_expires_at"), "token_grants", ["expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("grant_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("used_at", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["token_grants.id"],
            name=op.f("fk_refresh_tokens_grant_id_token_grants"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_grant_id"), "refresh_tokens", ["grant_id"])
    op.create_table(
        "authorization_codes",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("client_id", sa.String(length=36), nullable=False),
        sa.Column("redirect_uri", sa.String(), nullable=False),
        sa.Column("challenge", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("signed_in_at", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.String(length=32), nullable=False),
        sa.Column("used_at", sa.String(length=32), nullable=True),
        sa.Column("grant_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_authorization_codes_account_id_accounts"),
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
    )
    op.create_index("ix_authorization_codes_account", "authorization_codes", ["account_id"])
    op.create_index(
        op.f("ix_authorization_codes_expires_at"), "authorization_codes", ["expires_at"]
    )
    op.create_table(
        "device_codes",
        sa.Column("device_hash", sa.String(length=64), nullable=False),
        sa.Column("user_hash", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=36), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.String(length=32), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("polled_at", sa.String(length=32), nullable=True),
        sa.Column("account_id", sa.String(length=36), nullable=True),
        sa.Column("is_allowed", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_device_codes_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("device_hash", name=op.f("pk_device_codes")),
        sa.UniqueConstraint("user_hash", name=op.f("uq_device_codes_user_hash")),
    )
    op.create_index(op.f("ix_device_codes_account_id"), "device_codes", ["account_id"])
    op.create_index(op.f("ix_device_codes_address"), "device_codes", ["address"])
    op.create_index(op.f("ix_device_codes_expires_at"), "device_codes", ["expires_at"])


def _airlock() -> None:
    op.add_column("airlock_reviews", sa.Column("has_named_seal", sa.Boolean()))
    op.create_table(
        "airlock_review_resources",
        _request(),
        sa.Column("reviewer_id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=36), nullable=False),
        sa.Column("workspace_service_id", sa.String(length=36), nullable=False),
        sa.Column("user_resource_id", sa.String(length=36), nullable=False),
        _of_request("airlock_review_resources"),
        sa.PrimaryKeyConstraint(
            "request_id", "reviewer_id", name=op.f("pk_airlock_review_resources")
        ),
    )
    op.create_table(
        "airlock_links",
        sa.Column("id", sa.String(length=36), nullable=False),
        _request(),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=16), nullable=False),
        sa.Column("made_at", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.String(length=32), nullable=False),
        sa.Column("revoked_at", sa.String(length=32)),
        _of_request("airlock_links"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_airlock_links")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_airlock_links_token_sha256")),
    )
    op.create_index(op.f("ix_airlock_links_request_id"), "airlock_links", ["request_id"])
    op.create_table(
        "airlock_blocks",
        sa.Column("id", sa.String(length=36), nullable=False),
        _request(),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("block_id", sa.String(length=128), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.String(length=32), nullable=False),
        _of_request("airlock_blocks"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_airlock_blocks")),
        sa.UniqueConstraint(
            "request_id",
            "name",
            "block_id",
            name=op.f("uq_airlock_blocks_request_id_name_block_id"),
        ),
    )
    op.create_index(op.f("ix_airlock_blocks_request_id"), "airlock_blocks", ["request_id"])


def _request() -> sa.Column[str]:
    return sa.Column("request_id", sa.String(length=36), nullable=False)


def _of_request(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["request_id"],
        ["airlock_requests.id"],
        name=op.f(f"fk_{table}_request_id_airlock_requests"),
        ondelete="CASCADE",
    )
