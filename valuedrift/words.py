"""Numbers and lists as they stand in sentences and tables."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

MISSING = "–"
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def known(value: float | None) -> bool:
    """Whether a number is there (not null, not NaN)."""
    return value is not None and not math.isnan(value)


def signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign, by a true minus: ``+0.38``, ``−0.02``, ``0.00``."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{abs(value):.{digits}f}"
    if not float(text):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def plain(value: float | None, digits: int = 2) -> str:
    """A number, or a dash where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def signed_interval(low: float | None, high: float | None) -> str:
    """``[+0.30, +0.45]``."""
    return f"[{signed(low)}, {signed(high)}]" if known(low) and known(high) else ""


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """``[0.30, 0.45]``."""
    return f"[{plain(low, digits)}, {plain(high, digits)}]" if known(low) and known(high) else ""


def percent(value: float | None) -> str:
    """A share of 1 as a whole percentage; what is under 1% but not 0 is said so."""
    if value is None or math.isnan(value):
        return MISSING
    if 0 < value < 0.005:
        return "<1%"
    return f"{100 * value:.0f}%"


def probability(value: float | None) -> str:
    """A p- or q-value: ``0.03``, ``0.004``, ``<0.001``."""
    if value is None or math.isnan(value):
        return MISSING
    if value < 0.001:
        return "<0.001"
    return f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def listed(items: Sequence[str], most: int = 6) -> str:
    """``a, b and c``; beyond ``most``, ``a, b and 7 others``."""
    shown = list(items)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} others"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 run``, ``12 runs``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(count: float) -> str:
    """Bytes, in the unit that fits."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def under_several_ids(ids: Mapping[str, Sequence[str]]) -> str | None:
    """The note on prompts whose text stands under several ids.

    Args:
        ids: Identifiers by text, of texts that have more than one; none: None.
    """
    if not ids:
        return None
    named = [f"{listed(sorted(found), 3)} ({text if len(text) <= 60 else text[:57] + '…'})" for text, found in ids.items()]
    texts = f"{len(ids)} texts stand" if len(ids) > 1 else "one text stands"
    return f"{texts} under several prompt ids, which count as prompts of their own, so intervals are too short: {listed(named, 3)}"


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens of a text: for file names and anchors."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()) or "x"


def visible(text: str) -> str:
    """Text fit for HTML, SVG and PDF: control characters and lone surrogates, which none of them may hold, become visible signs."""
    return "".join(map(_sign, text)) if _UNFIT.search(text) else text


def _sign(char: str) -> str:
    if char in "\n\t" or not _UNFIT.match(char):
        return char
    return chr(0x2400 + ord(char)) if char < " " else "\ufffd"
