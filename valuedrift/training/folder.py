"""What a training leaves behind, and the folder in which it does.

What is in the folder is whole, and nothing in it is later than the state that training would resume from:

- ``out/step-000016/``: a checkpoint (adapter or whole model) with checkpoint.json; appears by one rename
- ``out/metrics.jsonl``: one row a step
- ``out/held-out.jsonl``: one row a checkpoint, where rows are held out
- ``out/run.json``: whose folder this is, by the fingerprint of the job's identity
- ``out/result.json``: written last; its presence means that the run is finished
- ``out/.lock``, ``out/.writer``: who may write into it now
- ``out/_state/``: what a killed run resumes from; removed at the end
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from valuedrift.atomic import flush, is_aside, write_whole
from valuedrift.errors import StoppedError, UserError
from valuedrift.training.records import HeldOutLoss, Metrics, TrainResult
from valuedrift.training.writer import OF_WRITER, Writer

_STEP = "step-"
_READY = "ready-"
_PARTIAL = ".partial-"
_HELD_OUT = "held-out.jsonl"
_STATE = "_state"
_OWNER = "run.json"
_RESULT = "result.json"
POLICY = "policy"
"""The model that a run is about; its reward model is trained before it."""
STATE_SECONDS = 120.0
"""How old a state to resume from may be, where nothing else is said."""


def published_in(out: Path) -> dict[int, Path]:
    """The checkpoints of a run's folder by step, in order; none where nothing was trained yet."""
    steps = sorted(int(path.name.removeprefix(_STEP)) for path in out.glob(f"{_STEP}[0-9]*")) if out.is_dir() else []
    return {step: out / f"{_STEP}{step:06d}" for step in steps}


def is_of_training(out: Path) -> bool:
    """Whether a folder is one that a training began."""
    return (out / _OWNER).exists()


def reached(out: Path) -> tuple[int, int, int]:
    """How far the training of a folder is: whether it is finished, the step of its state, and that of a model that is trained before it."""
    states = [(path.parent.name, int(path.name.removeprefix(_READY))) for path in (out / _STATE).glob(f"*/{_READY}[0-9]*")]
    policy = max((step for model, step in states if model == POLICY), default=0)
    before = max((step for model, step in states if model != POLICY), default=0)
    return int((out / _RESULT).exists()), policy, before


def copy_state(out: Path, target: Path) -> None:
    """Give what a killed training goes on from, without its checkpoints, second names in another folder, where nothing changes it.

    Raises:
        FileNotFoundError: The training went on meanwhile.
    """
    for state in (out / _STATE).glob(f"*/{_READY}[0-9]*"):
        for path in state.rglob("*"):
            if path.is_file():
                second = target / path.relative_to(out)
                second.parent.mkdir(parents=True, exist_ok=True)
                try:
                    second.hardlink_to(path)
                except PermissionError:  # a disk without links
                    shutil.copyfile(path, second)
    for path in out.iterdir():  # these grow in place; what is behind the state is cut off when it is gone on from
        if path.is_file() and path.suffix in (".json", ".jsonl") and not is_aside(path.name):
            shutil.copyfile(path, target / path.name)


class RunFolder:
    """The folder of one run.

    Args:
        out: The folder; made if missing.
        identity: Fingerprint of all that determines the run's numbers.
        state_seconds: How old a state to resume from may be.
        stop: A file that appears when the training is to save its state and end; None: nobody can ask for it.

    Raises:
        UserError: The folder belongs to another run.
    """

    def __init__(self, out: Path, identity: str, state_seconds: float = STATE_SECONDS, stop: Path | None = None) -> None:
        self.out = out
        self.state = out / _STATE
        self.state_seconds = state_seconds
        self._stop = stop
        self.writer = Writer(out)
        out.mkdir(parents=True, exist_ok=True)
        owner = out / _OWNER
        if owner.exists():
            if json.loads(owner.read_text(encoding="utf-8")).get("identity") != identity:
                raise UserError("the folder holds another training", where=str(out), fix="give each training a folder of its own")
        else:
            if any(path.name != _OWNER and not path.name.startswith(_PARTIAL) for path in out.iterdir()):
                raise UserError("the folder is not empty and holds no training", where=str(out), fix="give a new or empty folder")
            write_json(owner, {"identity": identity})

    def is_to_stop(self) -> bool:
        """Whether the training is to save its state and end."""
        return self._stop is not None and self._stop.exists()

    def start_over(self) -> None:
        """Remove all that was made."""
        self.writer.check()
        for path in self.out.iterdir():
            if path.name not in (_OWNER, *OF_WRITER):
                _remove(path)

    def result(self) -> TrainResult | None:
        """The result, if the run is finished and its checkpoints lie here; without them it is to be trained again."""
        path = self.out / _RESULT
        if not path.exists():
            return None
        result = TrainResult.model_validate_json(path.read_bytes())
        if {one.step for one in result.checkpoints if one.step} <= published_in(self.out).keys():
            return result
        path.unlink()
        return None

    def finished(self) -> TrainResult | None:
        """The result, if the run is finished; what was kept for resuming is then dropped."""
        if (done := self.result()) is not None:
            self.clear_state()
        return done

    def finish(self, result: TrainResult) -> None:
        """Write the result, then drop what was kept for resuming."""
        self.writer.check()
        write_json(self.out / _RESULT, result.model_dump(mode="json"))
        self.clear_state()

    def clear_state(self) -> None:
        """Drop what is kept for resuming (also what a kill between result and removal left behind)."""
        shutil.rmtree(self.state, ignore_errors=True)

    def resume_point(self, model: str) -> tuple[int, Path | None]:
        """The latest whole state of a model, after removing all that is partial.

        Args:
            model: Folder under ``_state``: ``policy``, or ``reward`` for the reward model of an online algorithm.

        Returns:
            Its step and folder, or (0, None).

        Raises:
            StoppedError: The training is to stop: nothing is done that would have to be saved.
        """
        self.writer.check()
        if self.is_to_stop():
            raise StoppedError(f"stopped before the {model} went on", where=str(self.out))
        folder = self.state / model
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if not path.name.startswith(_READY):
                _remove(path)
        ready = sorted(folder.iterdir())
        for path in ready[:-1]:
            _remove(path)
        return (int(ready[-1].name.removeprefix(_READY)), ready[-1]) if ready else (0, None)

    def forget_after(self, step: int) -> None:
        """Remove partial folders, and checkpoints and metrics later than a step: they will be made again."""
        self.writer.check()
        for path in self.out.iterdir():
            if _is_partial(path) or (path.name.startswith(_STEP) and int(path.name.removeprefix(_STEP)) > step):
                _remove(path)
        rows = [row for row in self.metrics() if row.step <= step]
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        write_whole(self.out / "metrics.jsonl", text.encode())
        if (kept := [row for row in self.held_out_losses() if row.step <= step]) or (self.out / _HELD_OUT).exists():
            write_whole(self.out / _HELD_OUT, "".join(row.model_dump_json() + "\n" for row in kept).encode())

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.out / f"{_STEP}{step:06d}"

    def publish(self, step: int, fill: Callable[[Path], None], about: dict[str, Any]) -> Path:
        """Make a checkpoint appear whole.

        Args:
            step: Its step.
            fill: Writes weights (and tokenizer) into the folder it is given.
            about: Content of checkpoint.json.
        """
        self.writer.check()
        target = self.checkpoint_path(step)
        partial = self.out / f"{_PARTIAL}{target.name}"
        _remove(partial)
        partial.mkdir()
        fill(partial)
        write_json(partial / "checkpoint.json", about)
        self.writer.check()
        commit(partial, target)
        return target

    def keep_state(self, model: str, step: int, written: Path) -> None:
        """Make a state the one to resume from and drop earlier ones."""
        self.writer.check()
        folder = self.state / model
        target = folder / f"{_READY}{step:06d}"
        commit(written, target)
        for path in folder.iterdir():
            if path != target:
                _remove(path)

    def add_metrics(self, row: Metrics) -> None:
        """Append one row."""
        self.writer.check()
        with (self.out / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(row.model_dump_json() + "\n")

    def metrics(self) -> list[Metrics]:
        """All whole rows, in order of steps."""
        return [Metrics.model_validate_json(line) for line in self._lines("metrics.jsonl")]

    def add_held_out_loss(self, row: HeldOutLoss) -> None:
        """Append one row."""
        self.writer.check()
        with (self.out / _HELD_OUT).open("a", encoding="utf-8") as stream:
            stream.write(row.model_dump_json() + "\n")

    def held_out_losses(self) -> list[HeldOutLoss]:
        """All whole rows, in order of steps."""
        return [HeldOutLoss.model_validate_json(line) for line in self._lines(_HELD_OUT)]

    def _lines(self, name: str) -> list[str]:
        """The whole lines of a file; what follows the last newline was cut off by a kill."""
        path = self.out / name
        return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def commit(written: Path, target: Path) -> None:
    """Rename a folder into place after its files have reached the disk."""
    for path in [*written.rglob("*"), written]:
        flush(path)
    written.rename(target)
    flush(target.parent)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file so that it appears whole."""
    write_whole(path, (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def _is_partial(path: Path) -> bool:
    return path.name.startswith(_PARTIAL) or is_aside(path.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
