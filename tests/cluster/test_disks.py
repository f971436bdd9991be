"""The full disk of tests is one."""

import psycopg
import pytest

from .disks import NO_LIMIT, SmallDisk

FILL = "INSERT INTO big SELECT repeat(md5(n::text), 30) FROM generate_series(1, 3000) AS n"


def test_a_session_cannot_write_until_there_is_room_again() -> None:
    """The statement fails, the server and the session stay, and what was written before is there."""
    with SmallDisk("-c", "max_wal_size=16MB") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE big (content text)")
            connection.execute(FILL)
            assert server.limit_sessions(3 << 20) == 1
            with pytest.raises(psycopg.Error, match="File too large"):
                connection.execute(FILL)
            assert connection.execute("SELECT count(*) FROM big").fetchone() == (3000,)
            server.limit_sessions(NO_LIMIT)
            connection.execute(FILL)
            assert connection.execute("SELECT count(*) FROM big").fetchone() == (6000,)
