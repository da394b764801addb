"""Full-text search over what was said and heard, the same on every database; core/search_words.py says what is found.

Each turn has a row in `search_entries`, whose number grows with time, and under that number its index words in
`search_words`: FTS5 on SQLite, a full-text index on MariaDB, a tsvector on PostgreSQL. The first word says whose it is,
so that one person's search never reads another's turns. Rows are written with the turn, in its transaction.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, TextClause, bindparam, column, delete, insert, select, table, text

from gateway.core.search_words import Wanted, index_words, owner_word, wanted
from gateway.tables import SearchRow, UserId, table_of

BATCH = 500
ENTRIES = table_of(SearchRow)
_INSERT_ENTRY = insert(ENTRIES)
_TURNS = table("turns", *map(column, ("id", "session_id", "user_text", "heard_text", "ended_at")))
_SESSIONS = table("sessions", column("id"), column("user_id"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one database makes `search_words`, takes index words, and is asked for them."""

    makes: tuple[str, ...]
    key: str
    value: str
    matches: str
    stored: Callable[[Sequence[str]], str]
    asked: Callable[[str, Sequence[Wanted]], str]
    insert: TextClause = field(init=False)
    remove: TextClause = field(init=False)

    def __post_init__(self) -> None:
        statement = f"INSERT INTO search_words ({self.key}, words) VALUES (:number, {self.value})"  # noqa: S608
        object.__setattr__(self, "insert", text(statement))
        statement = (
            f"DELETE FROM search_words WHERE {self.key} IN (SELECT search_entries.number FROM search_entries "  # noqa: S608
            "JOIN turns ON turns.id = search_entries.turn_id WHERE turns.session_id IN :sessions)"
        )
        object.__setattr__(self, "remove", text(statement).bindparams(bindparam("sessions", expanding=True)))


def _ask_sqlite(owner: str, parts: Sequence[Wanted]) -> str:
    return " AND ".join([owner, *(" + ".join(part.words) + "*" * part.is_beginning for part in parts)])


def _ask_mariadb(owner: str, parts: Sequence[Wanted]) -> str:
    spelled = (f"+{part.words[0]}*" if part.is_beginning else f'+"{" ".join(part.words)}"' for part in parts)
    return " ".join([f"+{owner}", *spelled])


def _ask_postgresql(owner: str, parts: Sequence[Wanted]) -> str:
    return " & ".join([owner, *("(" + " <-> ".join(part.words) + ":*" * part.is_beginning + ")" for part in parts)])


def _numbered(words: Sequence[str]) -> str:
    return " ".join(f"{word}:{place}" for place, word in enumerate(words, 1))


DIALECTS = {
    "sqlite": Dialect(
        makes=("CREATE VIRTUAL TABLE search_words USING fts5(words, tokenize='ascii', columnsize=0, prefix='5 6')",),
        key="rowid",
        value=":words",
        matches="search_words MATCH :asked",
        stored=" ".join,
        asked=_ask_sqlite,
    ),
    "mariadb": Dialect(
        makes=(
            "CREATE TABLE search_words (number BIGINT PRIMARY KEY, words MEDIUMTEXT NOT NULL, FULLTEXT (words)) "
            "CHARACTER SET ascii COLLATE ascii_bin",
        ),
        key="number",
        value=":words",
        matches="MATCH (words) AGAINST (:asked IN BOOLEAN MODE)",
        stored=" ".join,
        asked=_ask_mariadb,
    ),
    "postgresql": Dialect(
        makes=(
            "CREATE TABLE search_words (number BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)",
            "CREATE INDEX ix_search_words ON search_words USING GIN (words)",
        ),
        key="number",
        value="CAST(:words AS tsvector)",
        matches="words @@ CAST(:asked AS tsquery)",
        stored=_numbered,
        asked=_ask_postgresql,
    ),
}


def create(connection: Connection) -> None:
    """Make `search_words`."""
    for statement in DIALECTS[connection.dialect.name].makes:
        connection.execute(text(statement))


def drop(connection: Connection) -> None:
    """Remove `search_words`."""
    connection.execute(text("DROP TABLE search_words"))


def add(connection: Connection, turn_id: str, user_id: str, texts: Iterable[str]) -> None:
    """Let a turn be found."""
    dialect = DIALECTS[connection.dialect.name]
    entry = connection.execute(_INSERT_ENTRY, {"turn_id": turn_id})
    assert entry.inserted_primary_key is not None
    words = dialect.stored(_words(user_id, texts))
    connection.execute(dialect.insert, {"number": entry.inserted_primary_key[0], "words": words})


def _words(user_id: str, texts: Iterable[str]) -> list[str]:
    return [owner_word(user_id), *(word for text in texts for word in index_words(text))]


def remove(connection: Connection, session_ids: Sequence[str]) -> None:
    """Let the turns of sessions be found no more."""
    dialect = DIALECTS[connection.dialect.name]
    connection.execute(dialect.remove, {"sessions": list(session_ids)})
    its_turns = select(_TURNS.c.id).where(_TURNS.c.session_id.in_(session_ids))
    connection.execute(delete(ENTRIES).where(ENTRIES.c.turn_id.in_(its_turns)))


def hits(connection: Connection, query: str, user_id: str, limit: int, offset: int) -> list[str]:
    """The ids of turns of one person that hold all of a query, the newest first."""
    dialect = DIALECTS[connection.dialect.name]
    parts = wanted(query)
    if not parts:
        return []
    statement = text(
        "SELECT turns.id FROM search_words CROSS JOIN search_entries CROSS JOIN turns CROSS JOIN sessions "  # noqa: S608
        f"WHERE {dialect.matches} AND search_entries.number = search_words.{dialect.key} "
        "AND turns.id = search_entries.turn_id AND sessions.id = turns.session_id AND sessions.user_id = :user_id "
        f"ORDER BY search_words.{dialect.key} DESC LIMIT :limit OFFSET :offset"
    )
    statement = statement.bindparams(bindparam("user_id", type_=UserId))
    asked = dialect.asked(owner_word(user_id), parts)
    values = {"asked": asked, "user_id": user_id, "limit": limit, "offset": offset}
    return list(connection.scalars(statement, values))


def fill(connection: Connection) -> None:
    """Let all turns be found, in the order in which they ended; none of them may be found yet."""
    dialect = DIALECTS[connection.dialect.name]
    ids = connection.scalars(select(_TURNS.c.id).order_by(_TURNS.c.ended_at, _TURNS.c.id)).all()
    told = select(_TURNS.c.id, _SESSIONS.c.user_id, _TURNS.c.user_text, _TURNS.c.heard_text).join_from(
        _TURNS, _SESSIONS, _SESSIONS.c.id == _TURNS.c.session_id
    )
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        numbers = {turn_id: number for number, turn_id in enumerate(batch, start + 1)}
        connection.execute(_INSERT_ENTRY, [{"number": number, "turn_id": one} for one, number in numbers.items()])
        words = [
            {
                "number": numbers[row.id],
                "words": dialect.stored(_words(row.user_id, (row.user_text, row.heard_text))),
            }
            for row in connection.execute(told.where(_TURNS.c.id.in_(batch)))
        ]
        connection.execute(dialect.insert, words)
    if ids and connection.dialect.name == "postgresql":  # it counts by itself, past numbers that it was given
        column_name = "pg_get_serial_sequence('search_entries', 'number')"
        connection.execute(text(f"SELECT setval({column_name}, :last)"), {"last": len(ids)})
