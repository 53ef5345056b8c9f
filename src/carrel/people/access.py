"""Has anybody lost access since I last looked? One counter answers for everybody."""

from sqlalchemy import Connection, select, text

from carrel.people.tables import access_epochs

_BUMP = text(
    "INSERT INTO access_epochs (id, epoch) VALUES (1, 1) "
    "ON CONFLICT (id) DO UPDATE SET epoch = access_epochs.epoch + 1"
)
_READ = select(access_epochs.c.epoch).where(access_epochs.c.id == 1)


def bump_access_epoch(connection: Connection) -> None:
    """Say that something may have taken access away; belongs in the same transaction as it.

    Session ends, role changes, disabled accounts, stopped or disabled resources call it.
    """
    connection.execute(_BUMP)


def access_epoch(connection: Connection) -> int:
    """Return the counter: as long as it stands still, nobody has lost access."""
    return connection.execute(_READ).scalar() or 0
