"""Faults of input and stages that die are told apart by what libraries raise."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import jinja2
import polars as pl
import pytest
from pyarrow import parquet
from safetensors import safe_open

from valuedrift.errors import DataError, StageError, UserError, comes_again, fault_of


def _cut_off_weights(folder: Path) -> object:
    (folder / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    return safe_open(folder / "model.safetensors", "np")


def _template(folder: Path) -> object:
    return jinja2.Template("{{ missing.name.other }}").render()


def _cut_off_parquet(folder: Path) -> object:
    (folder / "x.parquet").write_bytes(b"PAR1xx")
    return parquet.ParquetFile(folder / "x.parquet")


def _cut_off_frame(folder: Path) -> object:
    (folder / "x.parquet").write_bytes(b"PAR1xx")
    return pl.read_parquet(folder / "x.parquet")


def _json(folder: Path) -> object:
    return json.loads("[1,")


def _name_of_hub(folder: Path) -> object:
    from huggingface_hub import snapshot_download

    return snapshot_download("not a name/of/any")


def _not_at_hand(folder: Path) -> object:
    from huggingface_hub import snapshot_download

    return snapshot_download("nobody/nothing", cache_dir=folder, local_files_only=True)


@pytest.mark.parametrize(
    ("raising", "kind"),
    [
        (_cut_off_weights, DataError),
        (_template, UserError),
        (_cut_off_parquet, DataError),
        (_cut_off_frame, DataError),
        (_json, DataError),
        (_name_of_hub, UserError),
        (_not_at_hand, UserError),
    ],
)
def test_errors_of_libraries_that_stand_for_faults_of_input(
    raising: Callable[[Path], object], kind: type[UserError], tmp_path: Path
) -> None:
    with pytest.raises(Exception) as raised:
        raising(tmp_path)
    fault = fault_of(raised.value)
    assert type(fault) is kind and fault.fix and not isinstance(raised.value, UserError)


def test_a_full_disk_is_a_fault_with_its_file_and_a_lost_connection_none() -> None:
    fault = fault_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x"))
    assert fault is not None and fault.where == "/data/x" and "full" in fault.what and fault.exit_code == 2
    assert fault_of(ConnectionResetError()) is None and not comes_again(ConnectionResetError())


@pytest.mark.parametrize("error", [KeyError("x"), TypeError(), ZeroDivisionError(), RecursionError(), AttributeError()])
def test_what_would_come_again_is_not_tried_again(error: Exception) -> None:
    assert fault_of(error) is None and comes_again(error)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error"), TimeoutError(), OSError(errno.EIO, "I/O")])
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    assert fault_of(error) is None and not comes_again(error)


def test_a_fault_of_ours_is_itself() -> None:
    fault = StageError("died", where="x")
    assert fault_of(fault) is fault


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_disk_that_is_full_is_told_also_where_torch_writes_by_itself(tmp_path: Path) -> None:
    import torch

    target = tmp_path / "file"
    target.symlink_to("/dev/full")
    with pytest.raises(RuntimeError) as raised:
        torch.save({"x": torch.zeros(100_000)}, target)
    told = fault_of(raised.value)
    assert told is not None and told.exit_code == 2 and "disk is full" in told.what, raised.value
