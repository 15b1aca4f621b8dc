"""What a study reads, wherever it lies: every file and folder that a study or a command names may be an address as well as a local path.

Addresses are ``s3://bucket/key``, ``gs://…``, ``hf://…``, and whatever else fsspec reaches with the packages that are installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from valuedrift.corpora import load
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows
from valuedrift.corpora.registry import Kind
from valuedrift.probes import Probe, load_probes
from valuedrift.references import folder_of, is_address
from valuedrift.storage.fetching import at_hand, fetched
from valuedrift.study import Study, load_study


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


def audit_kind_of(dataset: Dataset) -> Kind:
    """As what a dataset is audited, see :func:`valuedrift.corpora.load.audit_kind_of`."""
    with _dataset_at_hand(dataset) as local:
        return load.audit_kind_of(local)


def probes_of(reference: str, *, topics: Sequence[str] | None = None, per_topic: int | None = None) -> list[Probe]:
    """A probe set, see :func:`valuedrift.probes.load_probes`."""
    with _at_hand(reference) as path:
        return load_probes(path, topics=topics, per_topic=per_topic)


@contextmanager
def _dataset_at_hand(dataset: Dataset) -> Iterator[Dataset]:
    with _at_hand(dataset.data, folder=True) as path:
        yield dataset if path == dataset.data else dataset.model_copy(update={"data": path})


@contextmanager
def _at_hand(reference: str, *, folder: bool = False) -> Iterator[str]:
    """Only addresses are brought here: packaged data and those of a hub have names that are no paths."""
    if not is_address(reference):
        yield reference
        return
    with at_hand(reference, folder=folder) as path:
        yield str(path)
