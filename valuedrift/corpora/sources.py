"""Where rows of a dataset come from: the package, files, folders and what their patterns fit, or the Hugging Face hub.

Code that comes with a dataset is never run.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import Any

from valuedrift.corpora.dataset import HUB, STARTER, Dataset, is_in_hub
from valuedrift.corpora.messages import message_keys
from valuedrift.corpora.record import Record
from valuedrift.corpora.splits import split_parts
from valuedrift.errors import DataError, UserError
from valuedrift.references import is_pattern
from valuedrift.starter import DATASETS
from valuedrift.tabular import KINDS, kind_of_file, read_rows
from valuedrift.words import listed

_PATIENCE = 3.0
"""Seconds that a plan waits for the hub: an estimate is not worth the half minute of retries that a download gets."""
_LIST = re.compile(r"\s*\[\s*\{")
_MESSAGE = re.compile(r"""\s*\[\s*\{\s*['"](?:role|content|from|value)['"]\s*:""")
"""How a list of messages begins, whoever wrote it."""
_OF_SPLITS = "dataset_dict.json"
"""Tells a folder of several splits in what ``save_to_disk`` writes."""


def records_of(dataset: Dataset) -> Iterator[Record]:
    """The rows of a dataset that is no mixture, of all its places one after the other, as they lie there.

    Raises:
        UserError: No such file, packaged dataset, split or hub; a split that reaches beyond its rows.
        DataError: A file that can't be read to its end; says where.
    """
    for part in split_parts(dataset.split):
        if part.whole:
            for place in dataset.places:
                yield from _read(place, part.name, dataset).rows(None)
            continue
        held = [_read(place, part.name, dataset) for place in dataset.places]
        sizes = [one.size() for one in held]
        begin, end = part.bounds(sum(sizes), dataset.title)
        for one, size in zip(held, sizes, strict=True):
            if begin < size and end > 0:
                yield from one.rows((max(begin, 0), min(end, size)))
            begin, end = begin - size, end - size


class _Held:
    """The rows of a split at one place; read once, if they are counted first.

    Args:
        read: Reads them.
    """

    def __init__(self, read: Callable[[], Iterator[Record]]) -> None:
        self._read = read
        self._all: list[Record] | None = None

    def size(self) -> int:
        """How many there are."""
        self._all = list(self._read())
        return len(self._all)

    def rows(self, bounds: tuple[int, int] | None) -> Iterator[Record]:
        """Those from one number, from 0, to another one; None: all."""
        held = self._read() if self._all is None else iter(self._all)
        return held if bounds is None else islice(held, *bounds)


class _HeldTable(_Held):
    """The rows of a table of the datasets library, which can be counted without reading them.

    Args:
        table: The table.
        title: What it is called in messages.
    """

    def __init__(self, table: Any, title: str) -> None:
        self._table = _undecoded(table)
        self._title = title

    def size(self) -> int:
        """See :meth:`_Held.size`."""
        return len(self._table)

    def rows(self, bounds: tuple[int, int] | None) -> Iterator[Record]:
        """See :meth:`_Held.rows`."""
        begin, end = bounds or (0, self.size())
        chosen = self._table if bounds is None else self._table.select(range(begin, end))
        return (Record(row, f"{self._title}, row {number}") for number, row in enumerate(chosen, start=begin + 1))


def _undecoded(table: Any) -> Any:
    """The table with pictures and sounds as they lie: nothing here looks at them, and decoding wants packages."""
    for name, feature in table.features.items():
        if hasattr(feature, "decode"):
            table = table.cast_column(name, type(feature)(decode=False))
    return table


def _read(place: str, split: str, dataset: Dataset) -> _Held:
    if place.startswith(STARTER):
        return _Held(lambda: _starter(place))
    if is_in_hub(place):
        return _HeldTable(_hub_table(place, dataset.subset, split), f"{place}, {split}")
    paths = paths_of(place)
    if len(paths) == 1 and _is_saved(paths[0]):
        return _saved(paths[0], split, named="split" in dataset.model_fields_set)
    return _Held(lambda: chain.from_iterable(read_files(path, split) for path in paths))


def _starter(data: str) -> Iterator[Record]:
    name = data.removeprefix(STARTER)
    if name not in DATASETS:
        near = get_close_matches(name, DATASETS, n=1)
        fix = f"did you mean {STARTER}{near[0]}?" if near else f"known: {', '.join(DATASETS)}"
        raise UserError(f"no packaged dataset {name!r}", where=data, fix=fix)
    for number, row in enumerate(DATASETS[name](), start=1):
        yield Record(row, f"{data}, row {number}")


def paths_of(place: str) -> list[Path]:
    """The files and folders of this machine that a place means: itself, or in name order what its pattern fits.

    Raises:
        UserError: A pattern that fits no data file.
    """
    path = Path(place)
    if path.exists() or not is_pattern(place):
        return [path]
    base, *rest = path.parts if path.is_absolute() else (".", *path.parts)
    there = Path(base)
    while rest and (there / rest[0]).exists():  # what is there by this very name is no pattern
        there /= rest.pop(0)
    try:
        found = sorted(one for one in there.glob("/".join(rest)) if not one.name.startswith("."))
    except ValueError as error:
        raise UserError(f"no pattern: {error}", where=place, fix="`**` stands alone between slashes") from error
    files = [one for one in found if one.is_file() and kind_of_file(one) in KINDS] or [one for one in found if one.is_dir()]
    if not files:
        others = f"; it fits {listed([one.name for one in found], 3)}, which are none" if found else ""
        raise UserError(
            f"no data file fits this pattern{others}", where=place, fix=f"a pattern of files: {', '.join(KINDS)}, or .gz of these"
        )
    return files


def read_files(path: Path, split: str) -> Iterator[Record]:
    """The rows of a file, or of all files of one split in a folder.

    Args:
        path: A file or a folder.
        split: Of a folder, files named SPLIT.* or SPLIT-* or SPLIT_* are read, in the folder itself or in ``data`` below it, in name order.

    Raises:
        UserError: No such file; no known kind of file.
        DataError: A file that can't be read to its end; says where.
    """
    if _is_saved(path):
        yield from _saved(path, split, named=True).rows(None)
        return
    for file in _of_split(path, split) if path.is_dir() else [path]:
        texts = kind_of_file(file) in (".csv", ".tsv")
        for row in read_rows(file):
            yield Record({name: _messages(cell) for name, cell in row.values.items()} if texts else row.values, row.where)


def _is_saved(path: Path) -> bool:
    """Whether a folder is one that ``save_to_disk`` of the datasets library wrote."""
    return (path / _OF_SPLITS).is_file() or (path / "state.json").is_file()


def _saved(folder: Path, split: str, *, named: bool) -> _HeldTable:
    """A split of what ``save_to_disk`` wrote.

    Args:
        folder: Its folder, of one table or of several splits.
        split: Name of the split; one table has one of any name.
        named: Whether the user gave the name; else the only split is taken, too.

    Raises:
        UserError: There is no such split.
        DataError: The folder can't be read.
    """
    import datasets
    import pyarrow

    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot be read as save_to_disk writes it: {error}", where=str(folder), fix="write it again") from error
    if not isinstance(found, datasets.DatasetDict):
        return _HeldTable(found, str(folder))
    if split not in found and len(found) == 1 and not named:
        split = next(iter(found))
    if split not in found:
        raise UserError(
            f"no split {split!r} in what save_to_disk wrote", where=str(folder), fix=f"`split`: one of {', '.join(found) or 'none'}"
        )
    return _HeldTable(found[split], f"{folder}, {split}")


def _of_split(folder: Path, split: str) -> list[Path]:
    known = sorted(file for place in (folder, folder / "data") for file in place.glob("*") if kind_of_file(file) in KINDS)
    chosen = [file for file in known if file.name.startswith((f"{split}.", f"{split}-", f"{split}_"))]
    if not chosen:
        found = ", ".join(file.name for file in known[:8]) or "no data files"
        raise UserError(f"no file of the split {split!r} in this folder", where=str(folder), fix=f"found: {found}; give `split`, or a file")
    if len({kind_of_file(file) for file in chosen}) > 1:
        names = ", ".join(file.name for file in chosen[:8])
        raise UserError(f"the split {split!r} is there in more than one file format", where=str(folder), fix=f"give one of: {names}")
    return chosen


def _messages(text: str) -> Any:
    """A cell; one that holds a list of messages, as JSON or as Python writes it, as that list, which CSV can't hold otherwise."""
    if not _LIST.match(text):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if all(message_keys(message) is not None for message in value) else text
    return [{"unreadable": text}] if _MESSAGE.match(text) else text  # no text to learn: the row is left out as one without messages


def _hub_table(place: str, subset: str | None, split: str) -> Any:
    """One split of a hub dataset.

    Raises:
        UserError: The hub is not reachable, or has no such dataset, subset or split.
    """
    import datasets

    name = _name(place)
    try:
        return datasets.load_dataset(name, subset, split=split)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UserError(f"not on the hub, or not open to you: {error}", where=place, fix="check the name, or log in") from error
    except OSError as error:
        fix = "give a local file (.jsonl, .json, .csv, .parquet), or run where there is a hub"
        raise UserError(f"the Hugging Face hub is not reachable: {error}", where=place, fix=fix) from error
    except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        fix = "check `subset` and `split`, or give a local file"
        raise UserError(f"cannot be loaded from the hub: {error}", where=place, fix=fix) from error


def stated_rows(dataset: Dataset) -> int | None:
    """The number of rows that the hub states, without downloading them; None where it is not reachable or doesn't say, or other places are in it."""
    if not all(map(is_in_hub, dataset.places)):
        return None
    total = 0
    for part in split_parts(dataset.split):
        sizes = [_stated(place, dataset.subset, part.name) for place in dataset.places]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        begin, end = part.bounds(sum(known), dataset.title)
        total += end - begin
    return total


def _stated(place: str, subset: str | None, split: str) -> int | None:
    import httpx
    from huggingface_hub import constants

    try:
        if not constants.HF_HUB_OFFLINE:
            httpx.head(constants.ENDPOINT, timeout=_PATIENCE)
        import datasets

        splits = datasets.load_dataset_builder(_name(place), subset).info.splits or {}
    except Exception:  # whatever a hub, a proxy or a cache does wrong: a plan does without this number
        return None
    return splits[split].num_examples if split in splits else None


def _name(place: str) -> str:
    name = place.removeprefix(HUB)
    if Path(name).exists():
        fix = f"give {name} without {HUB} for that folder, or run elsewhere"
        raise UserError("a local folder of this name would be read in place of the hub's dataset", where=place, fix=fix)
    return name
