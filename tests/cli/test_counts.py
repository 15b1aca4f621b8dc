"""How many there are is said by one function: never "1 runs"."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from valuedrift.words import counted

COMMANDS = sorted((Path(__file__).parents[2] / "flows" / "cli").glob("*.py"))
OF_ITS_OWN = re.compile(r"\{[^{}]*\} (runs|probes|answers|stages|checkpoints|judges|judge\(s\))")


@pytest.mark.parametrize("file", COMMANDS, ids=lambda path: path.stem)
def test_no_command_counts_by_itself(file: Path) -> None:
    assert not OF_ITS_OWN.findall(file.read_text(encoding="utf-8"))


def test_one_is_one() -> None:
    assert [counted(number, "run") for number in (0, 1, 2, 1200)] == ["0 runs", "1 run", "2 runs", "1,200 runs"]
