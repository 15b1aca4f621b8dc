"""docs/python.ipynb runs as it is, cell by cell, and says what its text says that it says."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "python.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(autouse=True)
def without_windows() -> Iterator[None]:
    """Pyplot draws into memory, and forgets its figures."""
    import matplotlib.pyplot as plt

    before = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


def run(cells: list[dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """Run cells one after the other in one module, as Jupyter does: the names at the end, and what the last expression of each cell gave."""
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in cells:
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, NOTEBOOK.name, "exec"), names)
        shown.append(eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names) if isinstance(last, ast.Expr) else None)
    return names, shown


def test_the_cells_that_need_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    names, shown = run([cell for cell in CELLS if "slow" not in cell["metadata"].get("tags", [])])
    told = capsys.readouterr().out
    assert "did you mean 'immigration'" in told and "['lab']" in told
    drift = names["lab"].drift(topic="immigration").filter(pl.col("stance") == "support")
    times = dict(drift.select("run_id", "drift_time").iter_rows())
    assert times["fast"] < times["slow"]  # "support rises early in one run and late in the other"
    early, late = (float(line.split("(")[1].split(",")[0]) for line in told.splitlines() if line.startswith(("20 ", "100 ")))
    assert early > 0.2 and abs(late) < 0.1  # "at the end both have" moved
    assert [len(ax.get_lines()) >= 3 for ax in names["axes"]] == [True, True]
    assert (names["folder"] / "trajectory.pdf").stat().st_size > 1000
    assert sum(isinstance(value, pl.DataFrame) and value.height > 0 for value in shown) == 4
    assert all(not cell["outputs"] for cell in CELLS)


@pytest.mark.slow
def test_all_cells() -> None:
    names, shown = run(CELLS)
    assert set(names["traced"].answers()["step"]) == {0, 10, 20}
    assert names["traced"].drift().height == 3 and shown[-1].height == 4
