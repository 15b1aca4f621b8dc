"""A callback for the Trainer of transformers, and those of TRL: how the values of the model move, while it trains.

The training hands each checkpoint over as it is saved; ``valuedrift watch``, a process beside it, asks the questions.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from valuedrift.errors import UserError
from valuedrift.integrations.watcher import Watcher
from valuedrift.references import is_address, root_of
from valuedrift.watching.checkpoints import only_scores
from valuedrift.watching.handing import AlertsSoFar, HandOver
from valuedrift.watching.held import ChangedError
from valuedrift.watching.series import named_after

_LOOK_SECONDS = 1.0
"""How often a step looks after watcher and alerts."""
_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")


class DriftCallback(TrainerCallback):  # type: ignore[misc] # transformers is followed as Any
    """Watches how far the values of the model that a Trainer trains have moved, from a process beside the training.

    At the beginning it starts ``valuedrift watch`` on the training's ``output_dir``, unless one is at work there. At each save it hands the checkpoint
    over, so that it is evaluated though the trainer may delete it (``save_total_limit``). The training process itself asks nothing and waits for
    nothing; if the watcher dies that is said once, and the training goes on. A training that is resumed or begun again goes on with the same tables.

    Args:
        base: The model that the training started from, a folder or ``hf:organisation/name``; default: what the model says it was loaded from. Adapters
            name theirs.
        topics: Topics to ask about; default: all of the probes.
        per_topic: Probes a topic; default: all.
        probes: The questions: ``starter``, or a file of them.
        samples: Answers a probe and checkpoint.
        max_new_tokens: Tokens an answer may have.
        judge: Who judges them, as ``--judge`` of ``valuedrift watch``.
        root: Where the tables lie, a folder or ``s3://bucket/prefix``; default: ``$VALUEDRIFT_ROOT``, else ``valuedrift-data``.
        name: Of study and run; default: after ``output_dir``.
        alerts: Rules like ``"neutral on immigration < -0.2"``.
        stop_on_alert: Whether the training stops when an alert fires for one of its checkpoints.
        wait: Whether the end of the training waits until all checkpoints are evaluated.
        watcher: Whether to start ``valuedrift watch``; else one that somebody else started is to follow the folder.
        environment: Variables for the watcher, ``{"CUDA_VISIBLE_DEVICES": "7"}`` say.
        more: Further words for ``valuedrift watch``.
        room_gigabytes: Room that checkpoints may take that the trainer deleted and that are not evaluated yet.
    """

    def __init__(
        self,
        *,
        base: str | Path | None = None,
        topics: Sequence[str] = (),
        per_topic: int | None = None,
        probes: str = "starter",
        samples: int = 5,
        max_new_tokens: int = 256,
        judge: str | None = None,
        root: str | Path | None = None,
        name: str | None = None,
        alerts: Sequence[str] = (),
        stop_on_alert: bool = False,
        wait: bool = False,
        watcher: bool = True,
        environment: Mapping[str, str] | None = None,
        more: Sequence[str] = (),
        room_gigabytes: float = 50.0,
    ) -> None:
        chosen = root_of(str(root) if root is not None else None)
        self.root = chosen if is_address(chosen) else str(Path(chosen).absolute())
        self.name = name
        self._base = str(base) if base is not None else None
        self._options = [
            *(["--topics", topic] for topic in ([topics] if isinstance(topics, str) else topics)),
            *([["--per-topic", str(per_topic)]] if per_topic is not None else []),
            ["--probes", probes],
            ["--samples", str(samples)],
            ["--max-new-tokens", str(max_new_tokens)],
            *([["--judge", judge]] if judge is not None else []),
            *(["--alert", rule] for rule in ([alerts] if isinstance(alerts, str) else alerts)),
            list(more),
        ]
        self._stop_on_alert = stop_on_alert
        self._wait = wait
        self._starts = watcher
        self._environment = environment or {}
        self._room = room_gigabytes
        self._hand_over: HandOver | None = None
        self._watcher: Watcher | None = None
        self._alerts: AlertsSoFar | None = None
        self._looked_at = 0.0
        self._stop = False
        self._told: set[str] = set()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Say that the training goes on, and see that somebody watches."""
        self._stop = False
        self._told.clear()
        if not state.is_world_process_zero:
            return
        self._hand_over = self._watcher = self._alerts = None
        if only_scores(kind := type(kwargs.get("model")).__name__):
            _tell(
                f"nothing is watched: a model that scores and writes nothing ({kind}) has no answers to judge; watch the training that uses its scores"
            )
            return
        with self._unharmed("this training is not watched"):
            self._begin(Path(str(args.output_dir)).absolute(), kwargs.get("model"))

    def _begin(self, output: Path, model: Any) -> None:
        self.name = self.name or named_after(str(output))
        hand_over = HandOver(output, self._room)
        hand_over.begin()
        self._hand_over, self._alerts = hand_over, AlertsSoFar(hand_over)
        if before := self._alerts.more():
            _tell(f"alerts of an earlier training in this folder, which stop nothing: {'; '.join(map(str, before))}")
        if not self._starts:
            return
        base = self._base or _loaded_from(model, output)
        if self._base is None and not list(output.glob("checkpoint-*")) and _goes_on_with_adapter(model):
            _tell(
                "this training goes on with an adapter: step 0 is the bare model, and what the adapter had moved counts, unless base= names its folder"
            )
        watcher = Watcher(
            hand_over.folder,
            [
                str(output),
                *(word for option in self._options for word in option),
                *(["--base", base] if base else []),
                *("--name", self.name, "--root", self.root),
            ],
            self._environment,
        )
        with self._unharmed(f"no watcher is started; checkpoints are kept for one: {watcher.line}"):
            started, self._watcher = watcher.start(), watcher
            if started:
                _tell(f"watching beside the training: {watcher.line}, which writes to {watcher.log}")
            else:
                other = watcher.other_line
                _tell(f"a watcher is at work here already{f', with other options, which it keeps: {other}' if other else ''}")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Hand the checkpoint over."""
        if self._hand_over is not None:
            checkpoint = self._hand_over.output / f"checkpoint-{state.global_step}"
            with self._unharmed(f"{checkpoint.name} is not handed over, and lost if it is deleted", about="not handed over"):
                self._hand_over.hand(state.global_step, checkpoint)
        self._look_after(state, control, at_save=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look after watcher and alerts."""
        if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._look_after(state, control, at_save=False)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Say that no more checkpoints come, and where the report will be."""
        if self._hand_over is not None:
            with self._unharmed("whoever watches is not told that the training has ended"):
                self._end(self._hand_over)

    def _end(self, hand_over: HandOver) -> None:
        hand_over.end()
        report = f"{self.root}/reports/{self.name}/report.html"
        watcher = self._watcher
        if watcher is None:
            _tell(f"the training has ended; whoever watches {hand_over.output} evaluates what is left")
            return
        if not watcher.is_at_work() and not watcher.died:
            watcher.start()  # it ended before the training did
        if self._wait and watcher.is_at_work():
            _tell(f"waiting until all checkpoints are evaluated: {watcher.log}")
            watcher.wait()
        if watcher.died:
            self._say_once("died", f"the watcher ended {watcher.died}; what is left is evaluated by: {watcher.line}")
        else:
            _tell(f"report {'' if not watcher.is_at_work() else '(once all checkpoints are evaluated) '}{report}")

    def _look_after(self, state: TrainerState, control: TrainerControl, *, at_save: bool) -> None:
        """See whether the watcher lives, and what it says; heed it, together with the other processes of the training."""
        self._looked_at = time.monotonic()
        with self._unharmed("the watcher is not looked after"):
            self._look(at_save=at_save)
        if self._stop_on_alert and (at_save or not _is_one_of_many()) and _told_by_first(self._stop):
            if self._hand_over is not None:
                self._say_once("stop", "the training stops: an alert says so")
            control.should_training_stop = True

    def _look(self, *, at_save: bool) -> None:
        if self._watcher is not None and (died := self._watcher.died):
            self._say_once(
                "died",
                f"the watcher ended {died}; the training goes on. Its checkpoints are kept until they are evaluated: {self._watcher.line}",
            )
        elif self._watcher is not None and at_save and not self._watcher.is_at_work():
            self._watcher.start()  # it ended before the training did: after a long time without checkpoints, say
        for crossed in self._alerts.more() if self._alerts is not None else []:
            _tell(f"alert, {crossed}")
            self._stop = self._stop_on_alert

    @contextmanager
    def _unharmed(self, what: str, *, about: str | None = None) -> Iterator[None]:
        """Let the training go on whatever happens to what watches it; what it was is said once.

        Args:
            what: What does not happen then.
            about: What is said once; default: that.
        """
        try:
            yield
        except Exception as error:
            reason = str(error) if isinstance(error, (ChangedError, UserError)) else f"{type(error).__name__}: {error}"
            self._say_once(about or what, f"{what}: {reason}")

    def _say_once(self, about: str, line: str) -> None:
        if about not in self._told:
            self._told.add(about)
            _tell(line)


def _tell(line: str) -> None:
    tqdm.write(f"valuedrift: {line}", file=sys.stderr)


def _loaded_from(model: Any, output: Path) -> str | None:
    """What a model says it was loaded from: a folder that is no checkpoint of this training, or a name on the hub."""
    config = getattr(model, "config", None)
    name, commit = (str(getattr(config, key, "") or "") for key in ("_name_or_path", "_commit_hash"))
    folder = Path(name)
    if name and folder.is_dir():
        return None if folder.absolute().is_relative_to(output) else str(folder.absolute())
    if commit and name:  # only what came from the hub has one; older names there have no organisation
        return f"hf:{name}@{commit}"
    return f"hf:{name}" if _ON_HUB.fullmatch(name) else None


def _goes_on_with_adapter(model: Any) -> bool:
    """Whether a model has adapters that change it already; fresh ones add nothing, for their second half is 0."""
    named = model.named_parameters() if hasattr(model, "named_parameters") else ()
    return any("lora_B" in name and bool(weight.any()) for name, weight in named)


def _is_one_of_many() -> bool:
    """Whether this process is one of several that train together."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _told_by_first(stop: bool) -> bool:
    """What the first of all processes says, so that all stop at one step or none."""
    if not _is_one_of_many():
        return stop
    import torch.distributed as dist

    said = [stop]
    dist.broadcast_object_list(said, src=0)
    return said[0]
