"""What a watch lets go of: checkpoints that are judged as they are now, and none of which something failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from valuedrift.tasks.watching import _ended


def stage(name: str, as_of: str = "") -> Any:
    return SimpleNamespace(name=name, run_id="run", step=6, label=f"{name} run step 6", as_of=as_of)


@pytest.mark.parametrize(
    ("done", "failed", "judged", "waited_for"),
    [
        ({}, {}, False, True),
        ({"sample": "new"}, {}, False, True),
        ({"sample": "new", "judge": ""}, {}, True, False),
        ({"sample": "old", "judge": ""}, {}, False, True),  # the training went back and wrote it again
        ({}, {"sample": "new"}, False, False),
        ({"sample": "new"}, {"judge": ""}, False, False),
        ({}, {"sample": "old"}, False, True),
    ],
)
def test_what_failed_is_not_waited_for_and_not_let_go(done: dict[str, str], failed: dict[str, str], judged: bool, waited_for: bool) -> None:
    work: Any = SimpleNamespace(
        **{name: {f"{kind} run step 6": as_of for kind, as_of in told.items()} for name, told in (("done", done), ("failed", failed))}
    )
    stages = [stage("sample", "new"), stage("judge"), stage("analyze")]
    assert _ended(work, stages, with_failed=False)("run", 6) is judged
    assert _ended(work, stages, with_failed=True)("run", 6) is not waited_for
    assert not _ended(work, stages, with_failed=True)("run", 8), "no stage of it is listed yet"
