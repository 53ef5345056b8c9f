"""The ground every feature stands on: errors, settings, time, database, audit, queue."""
