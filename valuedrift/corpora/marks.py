"""What is marked as not to be learnt, in the words that data have for it: of a message, of a row, or of a row's messages one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from valuedrift.corpora.messages import ASSISTANT, LeftOutError, Message, UnreadableError, role_of

LEARNT = frozenset({"weight", "weights", "train", "training", "trainable", "train_on_turn", "learn", "loss", "loss_weight", "loss_mask"})
"""Names under which 0 or false says: not to be learnt (OpenAI and Mistral: weight; Axolotl: train, training; ms-swift: loss; LLaMA-Factory: loss_weight)."""
HIDDEN = frozenset({"masked", "mask"})
"""Names under which 1 or true says so (torchtune: masked), or the name of who is masked (NeMo: mask)."""
NAMES = LEARNT | HIDDEN
MASKS = NAMES - {"learn"}
"""Names of columns that mark messages one by one; in rows in normal form, ``learn`` lists places."""
_SPANS = ("train_detail", "training_detail")
"""Axolotl's marks of a part of a message."""
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
MARKED = "marked as not to be learnt"
SOME = "some answers of the conversation marked as not to be learnt"
PARTLY = "weights other than 0 and 1 read as 1"


def is_unlearnt(holder: Mapping[str, Any], notes: set[str]) -> bool:
    """Whether a message or a row is marked as not to be learnt.

    Args:
        holder: The message or row as it was read.
        notes: Told of a weight that can't be followed.

    Raises:
        LeftOutError: Only a part of the message is marked.
    """
    for name in _SPANS:
        if holder.get(name):
            raise LeftOutError(f"marks a part of a message (`{name}`)")
    for name in LEARNT & holder.keys():
        share = _number(holder[name])
        if share == 0.0:
            return True
        if share is not None and share != 1.0 and "weight" in name:
            notes.add(PARTLY)
    return any(_hides(holder[name]) for name in HIDDEN & holder.keys())


def masked(values: Mapping[str, Any], turns: Sequence[Message]) -> list[bool]:
    """Which turns a list in the row marks as not to be learnt, one number a turn or one an answer.

    Raises:
        UnreadableError: It has another length, or holds something else.
    """
    unlearnt = [False] * len(turns)
    answers = [at for at, turn in enumerate(turns) if turn["role"] == ASSISTANT]
    for name in MASKS & values.keys():
        mask = values[name]
        if not isinstance(mask, list) or not mask:
            continue
        places = next((places for places in (range(len(turns)), answers) if len(places) == len(mask)), None)
        numbers = [_number(value) for value in mask]
        if places is None or None in numbers:
            raise UnreadableError(f"has a mask that does not fit its turns (`{name}`)")
        for at, number in zip(places, numbers, strict=True):
            unlearnt[at] |= (number == 0.0) if name in LEARNT else number == 1.0
    return unlearnt


def _hides(value: Any) -> bool:
    """Whether a mark says that something is hidden: yes, or the answers by the name of who gives them."""
    return _number(value) == 1.0 or (isinstance(value, str) and role_of(value) == ASSISTANT)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            return float(word)
        except ValueError:
            return None
    return float(value) if isinstance(value, bool | int | float) else None
