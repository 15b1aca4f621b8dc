"""What a study reads, wherever it lies: every file and folder that a study or a command names may be an address as well as a local path.

Addresses are ``s3://bucket/key``, ``gs://…``, ``hf://…``, and whatever else fsspec reaches with the packages that are installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from valuedrift.corpora import load
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows
from valuedrift.corpora.registry import Kind
from valuedrift.errors import UserError
from valuedrift.probes import Probe, load_probes
from valuedrift.references import folder_of, is_address, is_pattern
from valuedrift.sampling import Sampling
from valuedrift.storage.fetching import at_hand, fetched, fitting
from valuedrift.study import Study, load_study
from valuedrift.words import listed


def study_of(address: str | os.PathLike[str]) -> Study:
    """A study from its file, see :func:`valuedrift.study.load.load_study`; what relative paths in it name lies beside it, in a store as on disk.

    Raises:
        UserError: The file can't be read or is no study.
    """
    text = os.fspath(address)
    with at_hand(text) as path:
        return load_study(path, folder_of(text) if is_address(text) else None)


def brought(reference: str) -> str:
    """A file or folder that a model or judge needs, as a path of this machine; what is no address stays as it is.

    Raises:
        UserError: See :func:`storage.fetching.fetched`.
    """
    return str(fetched(reference, folder=True)) if is_address(reference) else reference


def rows_of(dataset: Dataset, kind: Kind) -> Rows:
    """The rows of a dataset, see :func:`valuedrift.corpora.load.load_rows`."""
    with _dataset_at_hand(dataset) as local:
        return load.load_rows(local, kind)


def count_of(dataset: Dataset, kind: Kind) -> int | None:
    """How many rows of a kind a dataset has, see :func:`valuedrift.corpora.load.count_rows`; data in a bucket are read, as local ones are."""
    with _dataset_at_hand(dataset) as local:
        return load.count_rows(local, kind)


def is_at_hand(dataset: Dataset) -> bool:
    """Whether a plan reads it: all of it lies on this machine, or all of it in stores."""
    if dataset.mixture:
        return all(map(is_at_hand, dataset.parts))
    return all(map(is_address, dataset.places)) or load.is_at_hand(dataset)


def made_of(dataset: Dataset, kind: Kind) -> str | None:
    """How many rows a mixture takes of each of its parts, in words; None of anything else, and where that is not known."""
    with _dataset_at_hand(dataset) as local:
        counts = load.rows_of_parts(local, kind) if local.mixture else None
    if counts is None:
        return None
    return listed([f"{count:,} rows of {part.title}" for count, part in zip(counts, dataset.mixture, strict=True)], len(counts))


def audit_kind_of(dataset: Dataset) -> Kind:
    """As what a dataset is audited, see :func:`valuedrift.corpora.load.audit_kind_of`."""
    with _dataset_at_hand(dataset) as local:
        return load.audit_kind_of(local)


def probes_of(
    reference: str, *, topics: Sequence[str] | None = None, per_topic: int | None = None, columns: Mapping[str, str] | None = None
) -> list[Probe]:
    """A probe set, see :func:`valuedrift.probes.load_probes`."""
    with _at_hand(reference) as path:
        return load_probes(path, topics=topics, per_topic=per_topic, columns=columns)


def with_template(sampling: Sampling) -> Sampling:
    """A sampling with the text of the chat template whose file it names.

    Raises:
        UserError: No such file, or none that holds a template.
    """
    if sampling.template_file is None:
        return sampling
    with _at_hand(sampling.template_file) as path:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            what = "no such chat template" if isinstance(error, FileNotFoundError) else "the chat template cannot be read"
            raise UserError(what, where=sampling.template_file, fix="sampling.chat_template: a Jinja file in UTF-8") from error
    return sampling.with_template(text)


@contextmanager
def _dataset_at_hand(dataset: Dataset) -> Iterator[Dataset]:
    """The dataset with all that lies in a store brought here; what a pattern in a store means is looked up there."""
    with ExitStack() as brought_here:

        def here(place: str) -> str | list[str]:
            if not is_address(place):
                return place
            found = fitting(place) if is_pattern(place) else [place]
            paths = [str(brought_here.enter_context(at_hand(one, folder=True))) for one in found]
            return paths if is_pattern(place) else paths[0]

        yield dataset.with_places(here)


@contextmanager
def _at_hand(reference: str, *, folder: bool = False) -> Iterator[str]:
    """Only addresses are brought here: packaged data and those of a hub have names that are no paths."""
    if not is_address(reference):
        yield reference
        return
    with at_hand(reference, folder=folder) as path:
        yield str(path)
