"""What was asked and answered, in one SQLite file: replies that are never asked for again, the raw log, and what was spent.

Every attempt is a row, written before it is sent and completed when its end is known, so that a process killed at any point loses no reply and no cost: an
attempt without an end counts as spent by its upper estimate, because the server may have billed it. Several processes may work on one file: turns (budget,
pace) are taken in transactions. No key ever gets here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from valuedrift.cache import cache_folder
from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.servers.chat import Request

if TYPE_CHECKING:
    import polars as pl

_VERSION = 1
_PATIENCE_SECONDS = 30.0
"""How long a process waits for another one's transaction."""
_SCHEMA = """
create table if not exists attempts (
  id integer primary key,
  key text not null,
  at text not null,
  outcome text not null,
  request text not null,
  reply text,
  tokens integer not null,
  usd real not null
);
create index if not exists attempts_by_key on attempts (key) where outcome = 'reply';
create table if not exists spent (tokens integer not null, usd real not null, turned_at real not null, next_turn real not null);
insert into spent select 0, 0.0, 0.0, 0.0 where not exists (select 1 from spent);
"""


_COLUMNS = ("key", "at", "outcome", "request", "reply", "tokens", "usd")


class Outcome(StrEnum):
    """What became of an attempt."""

    OPEN = "open"
    """Sent, and no end known: under way, or the process was killed. Counts as spent."""
    REPLY = "reply"
    LOST = "lost"
    """Timed out or cut off: the server may have worked. Counts as spent."""
    UNUSABLE = "unusable"
    """The server called it a success, but it is no chat completion. Counts as spent."""
    REFUSED = "refused"
    """An HTTP error, or no connection: costs nothing."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The attempt may be sent."""

    id: int


@dataclass(frozen=True, slots=True)
class NotYet:
    """The pace wants a wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TooDear:
    """The attempt might pass the budget."""

    spent: Spent


@dataclass(frozen=True, slots=True)
class Spent:
    """What all attempts of a file cost; those without a known end by their upper estimates."""

    tokens: int
    usd: float

    def words(self) -> str:
        """For people."""
        return f"{self.tokens:,} tokens" + (f", ${self.usd:.2f}" if self.usd else "")

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.usd + other.usd)


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be spent; None: no bound."""

    tokens: int | None = None
    usd: float | None = None

    def allows(self, spent: Spent) -> bool:
        """Whether that much may be spent; a rounding error of sums does not count as more."""
        return (self.tokens is None or spent.tokens <= self.tokens) and (self.usd is None or spent.usd <= self.usd + 1e-12)


class Record:
    """The file of one judge or engine.

    Args:
        path: Where it lies, on a disk of this machine; made with its folder if it is not there. None keeps it in memory.

    Raises:
        UserError: The file cannot be used or is not one of these.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path or ":memory:", timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = normal")  # survives a kill at any point; a power cut may take the last seconds
            version = self._base.execute("pragma user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise UserError(
                    f"a file of replies of version {version}, not {_VERSION}", where=str(path), fix="move it away: it will be made anew"
                )
            self._base.executescript(f"begin immediate; {_SCHEMA} pragma user_version = {_VERSION}; commit;")
        except (sqlite3.Error, OSError) as error:
            raise _unusable(path, error) from error

    def find(self, key: str) -> str | None:
        """The raw reply to an equal request, if there is one."""
        row = self._base.execute("select reply from attempts where key = ? and outcome = 'reply' limit 1", (key,)).fetchone()
        return None if row is None else str(row[0])

    def spent(self) -> Spent:
        """What was spent so far, over all starts."""
        tokens, usd = self._base.execute("select tokens, usd from spent").fetchone()
        return Spent(int(tokens), float(usd))

    def begin(self, request: Request, most: Spent, limit: Limit, turn: float, now: float) -> Begun | NotYet | TooDear:
        """Note an attempt that is about to be sent, if budget and pace allow it now.

        Args:
            request: What will be sent.
            most: What it may cost at most.
            limit: What may be spent in all.
            turn: Seconds of the pace that it takes up.
            now: Seconds since 1970.
        """
        with self._transaction() as base:
            tokens, usd, turned_at, next_turn = base.execute("select tokens, usd, turned_at, next_turn from spent").fetchone()
            before = Spent(int(tokens), float(usd))
            if not limit.allows(before + most):
                return TooDear(before)
            if turn > 0 and turned_at <= now < next_turn:  # a turn in the future comes from a clock that was set back
                return NotYet(next_turn - now)
            at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
            row = (request.key, at, Outcome.OPEN.value, _text(request), most.tokens, most.usd)
            added = base.execute("insert into attempts (key, at, outcome, request, tokens, usd) values (?, ?, ?, ?, ?, ?)", row)
            self._spend(most)
            base.execute("update spent set turned_at = ?, next_turn = ?", (now, now + turn))
            return Begun(int(added.lastrowid or 0))

    def end(self, attempt: Begun, outcome: Outcome, reply: str | None, most: Spent, cost: Spent, turn: float = 0.0) -> None:
        """Note how an attempt ended.

        Args:
            attempt: From :meth:`begin`.
            outcome: What became of it.
            reply: The response's body as it came, without the key.
            most: What was noted at its beginning.
            cost: What it cost, as far as is known.
            turn: Seconds by which the pace was wrong: later if it took more tokens than was thought.
        """
        with self._transaction() as base:
            row = (outcome.value, reply, cost.tokens, cost.usd, attempt.id)
            base.execute("update attempts set outcome = ?, reply = ?, tokens = ?, usd = ? where id = ?", row)
            self._spend(Spent(cost.tokens - most.tokens, cost.usd - most.usd))
            base.execute("update spent set next_turn = next_turn + ?", (turn,))

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _spend(self, more: Spent) -> None:
        self._base.execute("update spent set tokens = tokens + ?, usd = usd + ?", (more.tokens, more.usd))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Alone with the file until the end; nothing is written if it fails."""
        try:
            self._base.execute("begin immediate")
            try:
                yield self._base
                self._base.execute("commit")
            except BaseException:
                self._base.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error


def replies_file(keep: Path | None, name: str, identity: dict[str, Any]) -> Path:
    """The file that keeps a server's replies.

    Args:
        keep: The folder of one piece of work (a study, an output); None: the user's cache folder, where equal judges and engines of all work meet.
        name: Of the judge or engine.
        identity: What changes its answers.
    """
    plain = "".join(character if character.isalnum() or character in "-_." else "-" for character in name)
    return keep / f"{plain}.sqlite" if keep is not None else cache_folder() / "replies" / f"{plain}-{fingerprint(identity)}.sqlite"


def attempts_frame(path: Path) -> pl.DataFrame:
    """All attempts of a file as a frame, in their order; the file is only read.

    Raises:
        UserError: It is no file of replies.
    """
    import polars as pl

    kinds = {
        "key": pl.String,
        "at": pl.String,
        "outcome": pl.String,
        "request": pl.String,
        "reply": pl.String,
        "tokens": pl.Int64,
        "usd": pl.Float64,
    }
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_SECONDS)) as base:
            rows = base.execute(f"select {', '.join(_COLUMNS)} from attempts order by id").fetchall()
    except sqlite3.Error as error:
        raise UserError(f"not a file of replies: {error}", where=str(path)) from error
    return pl.DataFrame(rows, schema={name: kinds[name] for name in _COLUMNS}, orient="row")


def _unusable(path: Path | None, error: Exception) -> UserError:
    return UserError(f"cannot keep replies: {error}", where=str(path), fix="give it a local disk with room; move a broken file away")


def _text(request: Request) -> str:
    return json.dumps(request.body, ensure_ascii=False, separators=(",", ":"))
