"""The prompts that probes are made of: one column of any CSV, JSONL or Parquet file, and each as plain text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.tabular import read_frame

LONGEST = 2000
"""Characters of a prompt that is looked at; a longer one holds a text, not an opening question."""
_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": " - "})
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of prompts."""

    ids: list[str]
    """One for each prompt, distinct: of the id column, else the row's number from 1."""
    prompts: list[str]

    @property
    def fingerprint(self) -> str:
        """Content hash of ids and prompts, in the order of the file."""
        return fingerprint([self.ids, [prompt.encode("utf-8", "replace").decode() for prompt in self.prompts]])


def read_source(path: Path, column: str, id_column: str | None = None) -> Source:
    """Read the prompts of a file.

    Args:
        path: .csv, .jsonl or .parquet.
        column: Column with the prompts.
        id_column: Column that identifies a row; the row's number from 1 where there is none.

    Raises:
        UserError: No such file, kind of file or column.
        DataError: The file is empty or unreadable, or an id is empty or there twice.
    """
    needed = [column] if id_column is None else list(dict.fromkeys([column, id_column]))
    try:
        frame = read_frame(path, needed)
    except DataError as error:
        raise _nearest(error, path, needed) from error
    if not frame.height:
        raise DataError("no prompts in it", where=str(path), fix="a header and one prompt a row")
    ids = frame.get_column(id_column).to_list() if id_column else [str(row) for row in range(1, frame.height + 1)]
    if id_column:
        _check_ids(ids, path, id_column)
    return Source(ids, frame.get_column(column).to_list())


def _check_ids(ids: list[str], path: Path, column: str) -> None:
    blank = next((row for row, one in enumerate(ids, start=1) if not one.strip()), None)
    if blank is not None:
        raise DataError(f"{column} is empty", where=f"{path}, row {blank}", fix="every row needs an id, or leave out --id-column")
    doubled = pl.Series(ids).filter(pl.Series(ids).is_duplicated())
    if len(doubled):
        raise DataError(
            f"{column} {doubled[0]!r} is there more than once", where=str(path), fix="ids must be distinct, or leave out --id-column"
        )


def _nearest(error: DataError, path: Path, needed: list[str]) -> UserError:
    if not error.what.startswith("missing column"):
        return error
    known = (error.fix or "").removeprefix("found: ").split(", ")
    near = [match for name in needed if name not in known for match in get_close_matches(name, known, n=1)]
    return DataError(error.what, where=str(path), fix=f"did you mean {near[0]!r}? {error.fix}" if near else error.fix)


def plain(text: str) -> str:
    """The text without control characters, emoji and fancy quotes, with single spaces; line breaks stay.

    Args:
        text: Any text, also with NUL bytes or lone surrogates.
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8")).translate(_QUOTES)
    kept = "".join(_plain(character, before) for before, character in zip(f" {text}", text, strict=False))
    kept = re.sub(r"[ \t]+", " ", re.sub(r" & ?(?=\w)", " and ", kept))
    kept = re.sub(r"\s+([,.;:!?])", r"\1", kept)
    kept = re.sub(r"([!?])[!?.]*", lambda marks: "?" if "?" in marks.group() else "!", kept)
    kept = re.sub(r"\.{2,}|…", ". ", kept)
    return re.sub(r"([,;!?])(?=[A-Za-z])", r"\1 ", kept).strip()


def _plain(character: str, before: str) -> str:
    if character == "\n":
        return character
    category = unicodedata.category(character)
    if (
        category == "Mn" or character in _JOINERS
    ):  # vowel signs and joiners of Hindi, Thai, Persian belong to their letters; on an emoji they mean nothing
        return character if unicodedata.category(before)[0] in "LM" and not "\ufe00" <= character <= "\ufe0f" else ""
    if category in {"So", "Sk", "Cs", "Co", "Cn", "Me", "Cf"}:
        return ""
    return " " if category in {"Cc", "Zs", "Zl", "Zp"} else character
