"""The SQL of jobs: all of it in one package, standard where there is a standard, and quick."""

import ast
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import leadconnector_async
from leadconnector_async.jobs.journal import counts, preparing, rows, tables

PACKAGE = Path(leadconnector_async.__file__).parent
JOURNAL = PACKAGE / "jobs" / "journal"
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE|PRAGMA)\b",
    re.S,
)
SQLITE_ONLY = {
    "INDEXED BY": r"INDEXED",
    "INSERT OR": r"INSERT\s+OR\b",
    "MAX or MIN of two values": r"\b(MAX|MIN)\s*\([^()]*,",
    "IS NOT value": r"\bIS\s+(?!NULL\b|NOT\s+NULL\b)",
    "SUM of a condition": r"\bSUM\s*\((?!\s*CASE\b)[^()]*(\b(IS|IN|AND|OR)\b|[<>=])",
    "json functions": r"\bjson_",
    "functions of SQLite": r"\b(strftime|instr|ifnull|iif|typeof|total|printf|group_concat)\s*\(",
    "a condition that is a number": r"\bSELECT\b((?!\b(FROM|WHEN)\b).)*\bIS\b",
    "LIMIT -1": r"LIMIT\s+-1",
    "a cast that truncates": r"\bCAST\((?!ROUND\b)",
    "SUM of what Postgres sums to a numeric": r"\bSUM\s*\((number|parks|start_\w+|end_\w+|zone)\b",
    "ROWID": r"\browid\b",
    "an unqualified column in an upsert": r"DO\s+UPDATE\s+SET\b.*=\s*(?!excluded\.|rows\.|'|\?|NULL\b)\w*[a-z]",
}
NAMES_JOB = re.compile(
    r"\bjob = \?|\bother\.job = rows\.job|\bjobs\.id = \?|\bWHERE id = \?|FROM jobs WHERE name = \?|"
    r"INTO \w+\s*\([^)]*\bjob\b|UPDATE jobs SET .* id = \?",
    re.S,
)
SQLITES_OWN = ("tables.py", "connection.py", "database.py", "migrate.py")
"""Definitions of tables, settings of a connection, and the way from a format that only SQLite has known."""
OF_ALL_JOBS = ("leases.py", "phases.py", "progress.py", "purge.py")
"""What workers do and lists show for every job of a database."""
STORES = {
    "_sharing/sqlite.py",
    "_sharing/sqlite_keys.py",
    "_sharing/sqlite_tokens.py",
    "_system/sqlite.py",
    "integrations/postgres.py",
    "integrations/postgres_keys.py",
    "integrations/postgres_tokens.py",
    "integrations/engine_schema.py",
    "integrations/postgres_journal.py",
    "integrations/postgres_schema.py",
    "integrations/procrastinate.py",
}
"""Limits, tokens and keys that processes share, each store with its own SQL; the engine's tables; and a setting of
every SQLite file.
"""


def list_texts(path: Path) -> Iterator[tuple[str, str]]:
    """The names of a module's texts, and the texts; those without a name, docstrings left out, too."""
    tree = ast.parse(path.read_text())
    named: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            named.add(id(node.value))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            for part in ast.walk(node.value):
                named.add(id(part))
            parts = (one for one in ast.walk(node.value) if isinstance(one, ast.Constant))
            yield node.target.id, " ".join(str(one.value) for one in parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in named:
            yield "", node.value


def test_the_sql_of_jobs_is_in_one_package() -> None:
    """No module outside `jobs/journal` holds a statement, but the stores of what processes share."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if JOURNAL not in path.parents
        for _, text in list_texts(path)
        if SQL.search(text)
    }
    assert found == STORES


def test_sql_elsewhere_would_be_found(tmp_path: Path) -> None:
    """A statement, in whatever form it is written, is one that the test above sees."""
    path = tmp_path / "module.py"
    for text in (
        '_A: Final = "SELECT number FROM rows"',
        'journal.write(f"UPDATE rows SET state = {state}")',
        'x = """\n    INSERT OR REPLACE INTO facts\n"""',
        'journal.script("PRAGMA synchronous=OFF")',
    ):
        path.write_text(text)
        assert any(SQL.search(found) for _, found in list_texts(path)), text


def test_rows_come_back_typed() -> None:
    """Nothing is turned into a text to become a number."""
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    assert not [found for source in sources for found in re.findall(r"\b(?:int|float)\(str\(", source)]


def test_statements_are_standard() -> None:
    """Beside the tables' definitions, nothing is SQLite's own: the statements run on Postgres as well."""
    for path in sorted(JOURNAL.glob("*.py")):
        for name, text in list_texts(path):
            if SQL.search(text) and path.name not in SQLITES_OWN:
                for what, pattern in SQLITE_ONLY.items():
                    assert not re.search(pattern, text, re.S), (path.name, name, what)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT number FROM rows INDEXED BY rows_open",
        "SELECT number FROM rows NOT INDEXED",
        "INSERT OR IGNORE INTO settled VALUES (?)",
        "UPDATE rows SET rank = MIN(rank, 999999)",
        "SELECT number FROM rows WHERE start_after IS NOT start_before",
        "SELECT SUM(parks IS NULL) FROM rows",
        "INSERT INTO rows (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET attempts = attempts + excluded.attempts",
        "SELECT json_array_length(updates) FROM rows",
        "SELECT CAST(done_at AS INTEGER) FROM rows",
        "SELECT SUM(start_after) FROM rows",
        "SELECT name, began_at IS NOT NULL FROM jobs",
    ],
)
def test_what_sqlite_alone_understands_is_found(statement: str) -> None:
    """The patterns find each of the forms that have been in use."""
    assert any(re.search(pattern, statement, re.S) for pattern in SQLITE_ONLY.values())


def test_statements_name_the_job() -> None:
    """So that no job can read or change the rows of another; but a worker works on many jobs."""
    found = 0
    for path in sorted(JOURNAL.glob("*.py")):
        for name, text in list_texts(path):
            if SQL.search(text) and path.name not in (*SQLITES_OWN, *OF_ALL_JOBS):
                found += 1
                parts = re.split(r"\bUNION\b", text)
                assert all(NAMES_JOB.search(part) for part in parts), (path.name, name)
    assert found > 50


def explain(query: str, **parts: str) -> str:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript("; ".join([*tables.DEFINITIONS.values(), *tables.INDEXES]))
        query = query.format(**parts) if parts else query
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", [1] * query.count("?")).fetchall()
    finally:
        connection.close()
    return "\n".join(str(step[3]) for step in plan)


def test_queries_of_a_run_use_their_indexes() -> None:
    """No hint tells the database which index to use; it finds those that were made for a query."""
    by_event, by_new_id = preparing._HAS_ID
    assert "rows_open (location=? AND rank>?)" in explain(rows._OPEN)
    assert "rows_open (location=? AND rank>?)" in explain(preparing._NEXT)
    assert "rows_parking (parks=?)" in explain(rows._PARKING)
    for selected in preparing.SELECTED.values():
        plan = explain(preparing._UNREAD, selected=selected)
        assert "rows_unread (location=?)" in plan
        assert "ORDER BY" not in plan
        plan = explain(preparing._UNREAD_BY_ID, selected=selected, has_id=by_event.format(marks="?, ?"))
        assert "rows_by_event (location=? AND event_id=?)" in plan
        plan = explain(preparing._UNREAD_BY_ID, selected=selected, has_id=by_new_id.format(marks="?, ?"))
        assert "rows_by_new_id (location=? AND new_id=?)" in plan
    assert "INDEX" not in explain(counts._STATES_BY_LOCATION)  # one walk through the table, in its own order
