"""SQLite: one table or one SELECT, read only, streamed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from ceiba.base.errors import DataError, listed, nearest
from ceiba.read.content import content_hash
from ceiba.read.frame import Frame, derived
from ceiba.read.spec import ReadSpec
from ceiba.read.spool import Settled, spooled
from ceiba.read.values import CHUNK_ROWS, Columns, write_values

VERSION = "sqlite 1"
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def read_sqlite(path: Path, options: ReadSpec) -> Frame:
    """A table, or the answer to a query, of an SQLite file.

    Raises: DataError if the file is none, the table is unknown or not told, or the query is no SELECT.
    """
    with closing(_connect(path)) as connection:
        query = options.query or f"SELECT * FROM {_quoted(_table(path, connection, options))}"
    log = path.with_name(path.name + "-wal")
    state = [content_hash(path)] + ([content_hash(log)] if log.exists() and log.stat().st_size else [])
    identity = derived(state[0], VERSION, query, *state[1:])

    def build(target: Path) -> Settled:
        names = _names(path, query)
        return Settled(write_values(lambda: _chunks(path, query), target, str(path), names), ())

    return spooled(identity, str(path), build)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _table(path: Path, connection: sqlite3.Connection, options: ReadSpec) -> str:
    find = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name"
    try:
        tables = [name for (name,) in connection.execute(find)]
    except sqlite3.DatabaseError as error:
        raise DataError(
            f"{path} must be an SQLite file", str(error), "Use an undamaged copy, or name its format"
        ) from error
    if options.table is None and len(tables) == 1:
        return str(tables[0])
    if options.table is None:
        raise DataError(
            f"{path} data.table or data.query must be given", f"tables {listed(tables) or 'none'}", "Name one"
        )
    if options.table not in tables:
        raise DataError(
            f"{path} must have the table '{options.table}'", "none of that name", nearest(options.table, tables)
        )
    return options.table


def _execute(path: Path, connection: sqlite3.Connection, query: str) -> sqlite3.Cursor:
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY)
    try:
        return connection.execute(query)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise DataError(f"{path} data.query must be one SELECT", str(error), "Mend the query") from error


def _names(path: Path, query: str) -> list[str]:
    with closing(_connect(path)) as connection:
        names = [str(column[0]) for column in _execute(path, connection, query).description]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path} data.query must name each column once", f"{twice[0]!r} twice", "Give one an alias with AS"
        )
    return names


def _chunks(path: Path, query: str) -> Iterator[Columns]:
    with closing(_connect(path)) as connection:
        cursor = _execute(path, connection, query)
        names = [str(column[0]) for column in cursor.description]
        try:
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield dict(zip(names, zip(*rows, strict=True), strict=True))
        except sqlite3.Error as error:
            raise DataError(f"{path} must be readable", str(error), "Use an undamaged copy") from error
