"""Errors that are meant for the person at the keyboard: what was wrong, where, and what would be right."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping


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


class SameAgainError(StageError):
    """A stage that a Python error ended, which would come again: never tried again."""


class StoppedError(StageError):
    """A stage that was stopped because the whole is: nothing of it failed, and it is not tried again."""


_OF_INPUT: Mapping[str, tuple[type[UserError], str, str]] = {
    "safetensors._safetensors_rust.SafetensorError": (DataError, "weights that cannot be read", "copy or download the file again"),
    "jinja2.exceptions.TemplateError": (UserError, "the chat template fails", "another chat template, or data that it can write"),
    "huggingface_hub.errors.GatedRepoError": (
        UserError,
        "the hub gives this to members only",
        "ask for access on its page, and set HF_TOKEN",
    ),
    "huggingface_hub.errors.RepositoryNotFoundError": (UserError, "not found on the hub", "check the name, and HF_TOKEN if it is private"),
    "huggingface_hub.errors.RevisionNotFoundError": (UserError, "no such revision on the hub", "check what stands after @"),
    "huggingface_hub.errors.LocalEntryNotFoundError": (
        UserError,
        "not at hand and the hub is out of reach",
        "check the network and HF_HUB_OFFLINE",
    ),
    "huggingface_hub.errors.EntryNotFoundError": (UserError, "no such file on the hub", "check the name"),
    "huggingface_hub.errors.HFValidationError": (UserError, "not a name on the hub", "organisation/name"),
    "huggingface_hub.errors.StrictDataclassError": (UserError, "a config that is not valid", "mend config.json"),
    "json.decoder.JSONDecodeError": (DataError, "not valid JSON", "mend or copy the file again"),
    "builtins.UnicodeDecodeError": (DataError, "not UTF-8 text", "save the file as UTF-8"),
    "pyarrow.lib.ArrowException": (DataError, "a Parquet file that cannot be read", "copy or write the file again"),
    "polars.exceptions.ComputeError": (DataError, "a table that cannot be read", "copy or write the file again"),
    "builtins.FileNotFoundError": (DataError, "a file is gone", "valuedrift tables check lists what is missing"),
    "builtins.PermissionError": (UserError, "not allowed to read or write", "give this user the right to, or name another place"),
}
"""Errors of libraries that stand for a fault of input, by the class or one that it is made from: how it is told, and what would be right."""
_OF_INPUT_ERRNO: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "make room and run the same command again; what finished is kept"),
    errno.EDQUOT: ("the disk quota is used up", "make room and run the same command again; what finished is kept"),
    errno.EROFS: ("the disk can only be read", "name another place"),
    errno.ELOOP: ("a link that leads to itself", "give the file itself"),
    errno.ENOENT: ("no such file", "check the path"),
    errno.ENOTDIR: ("what should be a folder is a file", "check the path"),
    errno.EISDIR: ("a folder where a file is meant", "give the file itself"),
    errno.ENAMETOOLONG: ("a name that is too long for the file system", "a shorter one"),
}
"""Faults of the place that a file is read from or written to."""
_NOT_WRITTEN = re.compile(
    r"No space left on device|Disk quota exceeded|PytorchStreamWriter failed writing|inline_container\.cc.*unexpected pos"
)
"""How libraries that write files themselves, without an error of Python, tell that one could not be written whole."""
_SAME_AGAIN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""Python errors that come again if nothing changes; others (memory, a device, a network) may pass."""


def fault_of(error: BaseException) -> UserError | None:
    """The fault of input that an error of a library stands for, wherever it was raised; None where it stands for none.

    The one place that tells faults of input, which are told and never tried again, from stages that die.
    """
    if isinstance(error, UserError):
        return error
    said = str(error).strip().splitlines()
    if not isinstance(error, OSError) and _NOT_WRITTEN.search(str(error)):
        fix = "make room and run the same command again; what finished is kept"
        return UserError("a file could not be written whole: the disk is full, or takes no file of this size", fix=fix)
    if isinstance(error, OSError) and error.errno is not None and error.errno in _OF_INPUT_ERRNO:
        what, fix = _OF_INPUT_ERRNO[error.errno]
        return UserError(what, where=str(error.filename) if error.filename else None, fix=fix)
    for kind in type(error).__mro__:
        if (told := _OF_INPUT.get(f"{kind.__module__}.{kind.__qualname__}")) is not None:
            made, what, fix = told
            where = str(error.filename) if isinstance(error, OSError) and error.filename else None
            return made(f"{what}: {said[0]}" if said and where is None else what, where=where, fix=fix)
    below = error.__context__ if type(error) is RuntimeError else error.__cause__  # pathlib tells of a loop by a RuntimeError
    return fault_of(below) if isinstance(below, OSError) and below.errno in _OF_INPUT_ERRNO else None


def comes_again(error: BaseException) -> bool:
    """Whether an error that ended a stage would end it again."""
    return isinstance(error, _SAME_AGAIN) and not isinstance(error, OSError)


def _rebuild(kind: type[UserError], what: str, where: str | None, fix: str | None) -> UserError:
    return kind(what, where=where, fix=fix)
