"""Are the bytes through the door kept in one row per tool and direction?"""

from threading import Thread

from sqlalchemy import select

from carrel.gateway.counters import Counters, door_totals
from carrel.gateway.tables import door_bytes


def test_totals_are_one_row_per_direction_however_often_written(database, clock):
    counters = Counters(database, clock)
    for _ in range(3):
        for tool in ("a", "b"):
            counted = counters.of("w", tool)
            counted.bytes_in += 2
            counted.bytes_out += 5
        counters.write(counters.take())
    with database.read() as connection:
        assert len(connection.execute(select(door_bytes)).all()) == 4
        assert door_totals(connection) == {"a": 21, "b": 21}
        assert door_totals(connection, "a") == {"a": 21}
        assert door_totals(connection, "c") == {}


def test_gateways_at_once_lose_no_bytes(database, clock):
    def count() -> None:
        counters = Counters(database, clock)
        for _ in range(20):
            for tool in ("a", "b"):
                counters.of("w", tool).bytes_in += 1
            counters.write(counters.take())

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert door_totals(connection) == {"a": 80, "b": 80}
