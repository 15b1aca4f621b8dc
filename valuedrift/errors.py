"""Errors that are meant for the person at the keyboard: what was wrong, where, and what would be right."""

from __future__ import annotations


class UserError(Exception):
    """A fault in what the user gave; shown as one message, without a traceback.

    Args:
        what: What was wrong, in one sentence.
        where: The file, key, column or row at fault.
        fix: What would be right.
    """

    exit_code: int = 2

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        fix = f" ({self.fix})" if self.fix else ""
        return f"{where}{self.what}{fix}"

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when the error crosses a process or thread boundary."""
        return (_rebuild, (type(self), self.what, self.where, self.fix))


class DataError(UserError):
    """Data (a dataset, a table, a stance file) that is not in the shape it must have."""

    exit_code = 3


class StageError(UserError):
    """A stage (training, sampling, judging) that died: out of memory, a signal, a Python error, a timeout."""

    exit_code = 4


def _rebuild(kind: type[UserError], what: str, where: str | None, fix: str | None) -> UserError:
    return kind(what, where=where, fix=fix)
