"""Rows that are left out, counted by kind, and how many of them are too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.messages import LeftOutError, MarkedError, UnreadableError
from valuedrift.errors import DataError

FEW = 2
"""So many rows are never too many: a share of a handful says nothing of a file."""


@dataclass(slots=True)
class Tally:
    """Counts of one dataset, while its rows are read."""

    read: int = 0
    """Rows read."""
    marked: int = 0
    """Rows left out because the data mark them as not to be learnt."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows left out, by reason."""
    first: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Place of the first row of each reason, from 1, and what is said of it."""
    notes: Counter[str] = field(default_factory=Counter)
    """Rows by what else was seen in them."""

    @contextmanager
    def row(self, where: str) -> Iterator[None]:
        """A row that is read; what it raises leaves it out.

        Args:
            where: File and row.
        """
        self.read += 1
        try:
            yield
        except UnreadableError as error:
            self._leave_out(error.kind, str(error))
        except LeftOutError as error:
            self.marked += isinstance(error, MarkedError)
            self._leave_out(error.reason, f"{where}: {error.reason}")

    def _leave_out(self, reason: str, told: str) -> None:
        self.dropped[reason] += 1
        self.first.setdefault(reason, (self.read, told))

    def check(self, dataset: Dataset, kept: int) -> None:
        """See that enough rows are left.

        Args:
            dataset: Where they are from, and what share of them may be left out.
            kept: Rows that can be used.

        Raises:
            DataError: There is none, or too many are left out; says of which kinds, how many, and where the first one is.
        """
        if not kept:
            what = f"not one of its {self.dropped.total():,} rows can be used ({reasons(self.dropped)})"
            raise DataError(what, where=dataset.title, fix=f"the first: {next(iter(self.first.values()))[1]}")
        unfit = self.dropped.total() - self.marked
        allowed = max(FEW, dataset.max_left_out * self.read) if dataset.max_left_out else 0
        if unfit > allowed:
            kinds = "".join(f"\n  {count:,} × {reason}; the first: {self.first[reason][1]}" for reason, count in self.dropped.most_common())
            raise DataError(
                f"{unfit:,} of its {self.read:,} rows can't be learnt from, more than max_left_out = {dataset.max_left_out:g} lets be left out:{kinds}\n",
                where=dataset.title,
                fix="mend or take out these rows, or raise max_left_out",
            )


def reasons(counts: Mapping[str, int]) -> str:
    """Kinds of rows and how many of each."""
    return "; ".join(f"{reason}: {count:,}" for reason, count in counts.items())
