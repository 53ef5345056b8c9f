"""Which columns does each database spell in its own way?"""

import sqlalchemy as sa
from alembic import op


def event_field(name: str) -> sa.Column[str]:
    """Return a column that the database generates from the field `name` of an event's JSON."""
    if op.get_bind().dialect.name == "postgresql":
        spelled = f"(body::jsonb ->> '{name}')"
    else:
        spelled = f"json_extract(body, '$.{name}')"
    return sa.Column(name, sa.String(), sa.Computed(spelled, persisted=True))


def display_name() -> sa.Column[str]:
    """Return the column that the database generates from a resource's name, to sort by."""
    is_stored = op.get_bind().dialect.name == "postgresql"
    if is_stored:
        spelled = "lower(coalesce(properties::jsonb ->> 'display_name', ''))"
    else:
        spelled = "lower(coalesce(json_extract(properties, '$.display_name'), ''))"
    return sa.Column(
        "sort_name", sa.String(), sa.Computed(spelled, persisted=is_stored), nullable=False
    )
