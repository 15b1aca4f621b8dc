"""``split: "train[:80%]"``: parts of splits, in the words of the datasets library, of data wherever they lie."""

from __future__ import annotations

import re
from dataclasses import dataclass

from valuedrift.errors import UserError

_PART = re.compile(
    r"\s*(?P<name>[^\[\]()+\s]+)\s*(?:\[\s*(?P<begin>-?\d+%?)?\s*:\s*(?P<end>-?\d+%?)?\s*\])?\s*(?:\((?P<rounding>closest|pct1_dropremainder)\))?\s*"
)
_SHAPE = "NAME, NAME[:80%], NAME[100:200] or NAME[-20%:], several joined by +"


@dataclass(frozen=True, slots=True)
class SplitPart:
    """Some rows of one split, one after the other."""

    name: str
    begin: str | None = None
    """First row, from 0, or a share like ``80%``; below 0 from the end; None: the first."""
    end: str | None = None
    """Row behind the last one, likewise; None: all that follow."""
    steady: bool = False
    """Whether a per cent is as many rows everywhere (``pct1_dropremainder``) and not rounded to the nearest row."""

    @property
    def whole(self) -> bool:
        """Whether it is all of the split."""
        return self.begin is None and self.end is None

    def bounds(self, rows: int, where: str) -> tuple[int, int]:
        """First row, and the one behind the last.

        Args:
            rows: Rows of the split.
            where: The data, for messages.

        Raises:
            UserError: It reaches beyond the split, or holds no row.
        """
        begin = 0 if self.begin is None else self._row(self.begin, rows, where)
        end = rows if self.end is None else self._row(self.end, rows, where)
        if begin >= end and rows:
            raise UserError(f"split {self} holds none of the {rows:,} rows", where=where, fix=_SHAPE)
        return begin, end

    def _row(self, bound: str, rows: int, where: str) -> int:
        number = int(bound.removesuffix("%"))
        most = 100 if bound.endswith("%") else rows
        if abs(number) > most:
            what = f"{bound} is more than 100%" if bound.endswith("%") else f"there are {rows:,} rows"
            raise UserError(f"split {self} is out of range: {what}", where=where, fix=_SHAPE)
        if bound.endswith("%"):
            if self.steady and rows < 100:
                raise UserError(f"split {self}: pct1_dropremainder needs 100 rows, here are {rows}", where=where, fix="leave it out")
            number = number * (rows // 100) if self.steady else round(number * rows / 100.0)
        return number + rows if number < 0 or bound.startswith("-") else number

    def __str__(self) -> str:
        rounding = "(pct1_dropremainder)" if self.steady else ""
        return self.name + ("" if self.whole else f"[{self.begin or ''}:{self.end or ''}]{rounding}")


def split_parts(split: str) -> tuple[SplitPart, ...]:
    """The parts of splits that are meant.

    Raises:
        ValueError: It is in no known form.
    """
    found = [_PART.fullmatch(part) for part in split.split("+")]
    parts = []
    for part in found:
        ends = () if part is None else tuple(end for end in (part["begin"], part["end"]) if end is not None)
        if part is None or len({end.endswith("%") for end in ends}) > 1:
            raise ValueError(f"{split!r} is no split: give {_SHAPE}")
        parts.append(SplitPart(part["name"], part["begin"], part["end"], part["rounding"] == "pct1_dropremainder"))
    return tuple(parts)
