"""What the tests of drift share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import valuedrift.flows.cli.analyze  # noqa: F401  # registers the command
from valuedrift.flows.cli.main import main

sys.path.insert(0, str(Path(__file__).parent))  # made_stances

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["valuedrift", "analyze", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "150")
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, " ".join(shown.err.split())

    return call
