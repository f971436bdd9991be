"""Whoever can write to the tables can make a worker work on locations, and do nothing else."""

import pickle
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from .field import Field, lay_out

LOCATIONS, ROWS = 2, 10
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]
SCHEMAS = "-c search_path=leadconnector_jobs,leadconnector_engine"
COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
    JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema IN ('leadconnector_jobs', 'leadconnector_engine') AND table_type = 'BASE TABLE'
        AND data_type IN ('text', 'bytea', 'jsonb', 'character varying')
    ORDER BY table_schema, table_name, ordinal_position
"""
LEFT = {("jobs", "name"), ("jobs", "phase"), ("jobs", "wanted"), ("locations", "location"), ("rows", "location")}
"""Without these, nobody would look at the others. They have hostile values in jobs of their own."""
SCHEMA_STATE = {"applied", "leadconnector_schema"}
"""Tables that say which migrations a database has had: with others, no worker starts."""
TICKET = """
    INSERT INTO leadconnector_engine.procrastinate_jobs (queue_name, task_name, queueing_lock, args)
    VALUES ('leadconnector', %s, %s, %s)
"""
JOB = "INSERT INTO jobs (name, phase, wanted, submitted, rows, made_at) VALUES (%s, %s, %s, 1, 1, 0) RETURNING id"
WORKER = "INSERT INTO workers (lease, host, pid, version, state, slots) VALUES (1, %s, 1, %s, %s, 1)"
LOCATION = "INSERT INTO locations (job, location, rows, prepared) VALUES (%s, %s, 1, %s)"
ROW = "INSERT INTO rows (job, location, number, line, event_id, wanted, state) VALUES (%s, %s, 1, 1, %s, %s, %s)"


class Command:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


class Planter:
    """Hostile values of each kind."""

    def __init__(self, field: Field, trace: Path) -> None:
        self._connection = psycopg.connect(field.server.url, autocommit=True, options=SCHEMAS)
        self._pickle = pickle.dumps(Command(trace))
        self._texts = [
            f"__import__('os').system('touch {trace}')",
            f"$(touch {trace})",
            "http://127.0.0.1:9/steal",
            f"file://{trace}",
            "builtin:procrastinate.builtin_tasks.remove_old_jobs",
            "'; DROP TABLE rows; --",
            "../../../etc/passwd",
        ]

    def close(self) -> None:
        self._connection.close()

    def make(self, kind: str, number: int) -> Any:
        text = self._texts[number % len(self._texts)]
        if kind == "jsonb":
            return Jsonb({"job": text, "location": self._pickle.hex(), "py/reduce": [text]})
        return self._pickle if kind == "bytea" else text

    def plant_everywhere(self) -> int:
        """In every column of every row that exists; returns how many columns took it."""
        taken = 0
        columns = self._connection.execute(COLUMNS).fetchall()
        for number, (schema, table, column, kind) in enumerate(columns):
            if table not in SCHEMA_STATE and (table, column) not in LEFT:
                statement = f'UPDATE {schema}.{table} SET "{column}" = %s'  # noqa: S608 - of the catalog
                taken += self._try(statement, self.make(kind, number))
        return taken

    def plant_rows(self) -> None:
        """Jobs, locations, rows and tickets of our own, of which every part is hostile."""
        for number, text in enumerate(self._texts):
            for phase, prepared in (("preparing", 0), ("running", 1)):
                [(job,)] = self._connection.execute(JOB, (f"{text} {phase}", phase, "run")).fetchall()
                self._connection.execute(LOCATION, (job, text, prepared))
                for state in ("loaded", "pending", "sent"):
                    self._try(ROW, job, text, text, self._pickle, state)
                for task in (text, "leadconnector:location"):
                    for given in ({"job": job, "location": text, "url": text}, {"job": text}, {"job": -number}):
                        self._try(TICKET, task, f"{job} {task} {given}", Jsonb(given))
            self._try(JOB, text, text, text)
            self._try(WORKER, text, text, text)

    def _try(self, statement: str, *values: object) -> bool:
        """A constraint may refuse it."""
        try:
            self._connection.execute(statement.encode(), values)
        except psycopg.errors.IntegrityError:
            return False
        return True


async def test_a_worker_runs_its_one_task_whatever_its_tables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands, URLs, pickles and tasks in every column run nothing and call nobody; a sound job is carried out."""
    trace, audit = tmp_path / "trace", tmp_path / "audit"
    monkeypatch.setenv("CLUSTER_AUDIT", str(audit))
    async with lay_out(tmp_path, LOCATIONS, ROWS) as field:
        await field.submit("planted")
        planter = Planter(field, trace)
        assert planter.plant_everywhere() > 20
        planter.plant_rows()
        planter.close()
        worker = await field.start()
        plan = await field.submit("sound")
        verdict = await field.finish("sound", plan)
        assert verdict.holds, verdict
        assert worker.code is None
        worker.terminate()
        assert await worker.wait() == 0, worker.read_errors()
        sandbox = ("127.0.0.1", int(field.calendar.account.url.rpartition(":")[2]))
    assert not trace.exists()
    lines = audit.read_text().splitlines()
    assert lines, "the hook saw no connection to the sandbox"
    for line in lines:
        assert line.startswith("socket.connect ("), line
        assert line.endswith(f", {sandbox})"), line
