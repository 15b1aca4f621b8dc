"""Whether a judge audits what it selected itself: a file of `valuedrift synthesize` has a card beside it that says who selected its pairs."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from valuedrift.corpora.dataset import Dataset
from valuedrift.judges.base import JudgeBase
from valuedrift.judges.kinship import Kin, kinship
from valuedrift.storage.location import Location
from valuedrift.synthesis.card import selector_told

CARD = ".card.json"
"""What the name of a card ends with, in place of its file's ``.jsonl``."""
_FILE = ".jsonl"


def selected_by(dataset: Dataset, judge: JudgeBase) -> str | None:
    """What to know of a judge that reads a dataset whose pairs it selected; None where it did not, or nothing says who did.

    Args:
        dataset: What it reads.
        judge: Who reads.

    Raises:
        UserError: Weights of the judge are missing, or a store can't be reached.
    """
    if dataset.packaged or dataset.in_hub:
        return None
    notes = (_of_file(place, judge) for place in dataset.places if place.endswith(_FILE))
    return next((note for note in notes if note is not None), None)


def _of_file(place: str, judge: JudgeBase) -> str | None:
    file = Location.parse(place)
    beside = file.beside(f"{PurePosixPath(file.name).stem}{CARD}")
    try:
        told = selector_told(json.loads(beside.read_bytes())) if beside.exists() else None
    except (ValueError, AttributeError):  # whatever lies there under this name, it is no card
        return None
    if told is None:
        return None
    name, mark = told
    found = kinship(mark, judge)
    return None if found.kin is Kin.OTHER else f"{found.words(name, judge.name)} (its card: {beside.name})"
