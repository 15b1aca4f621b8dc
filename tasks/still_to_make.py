"""What is still to be made of a study, and what that needs: models, tokenizers, data, each looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from valuedrift.corpora.load import Rows
from valuedrift.errors import UserError
from valuedrift.models.loading import check_files, load_tokenizer
from valuedrift.study.parts import Model
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.weights import Weights


class Ahead:
    """What is still to be made of a study, and what that needs.

    Args:
        work: The study and where it works.
        missing: Its stages that are not done.
    """

    def __init__(self, work: StudyWork, missing: Sequence[Stage]) -> None:
        self.work = work
        trained = {stage.run_id for stage in missing if stage.name == "train"}
        asked = {stage.run_id for stage in missing if stage.name in ("sample", "capability")}
        self.trained = [run for run in work.plan.runs if run.run_id in trained]
        """Runs that are still to be trained."""
        self.told = any(stage.name == "track" for stage in missing)
        """Whether trackers are still to be told."""
        asking = {stage.result.slot for stage in missing if stage.name == "judge"}
        self.judges = asking | {cascade.strong for cascade in work.study.cascades if cascade.name in asking}
        """Names of judges that still have to read answers."""
        self.tested = any(stage.name == "capability" for stage in missing)
        """Whether tasks are still to be put."""
        self._asked = [run for run in work.plan.runs if run.run_id in asked]
        self._tokenizers: dict[Path, Any] = {}

    @cached_property
    def models(self) -> dict[str, Model]:
        """Models whose weights are still needed, by name."""
        return {run.model_name: run.model for run in (*self.trained, *self._asked)}

    @cached_property
    def weights(self) -> dict[str, Weights]:
        """Their weights by name: those that are at hand and whole."""
        return {name: weights for name, weights in self._looked_at.items() if isinstance(weights, Weights)}

    @cached_property
    def broken(self) -> list[UserError]:
        """What is wrong with the others."""
        return [fault for fault in self._looked_at.values() if isinstance(fault, UserError)]

    @cached_property
    def _looked_at(self) -> dict[str, Weights | UserError]:
        learning = {run.model_name for run in self.trained}
        found: dict[str, Weights | UserError] = {}
        for name, model in self.models.items():
            try:
                weights, _ = self.work.base(model)
                check_files(weights, learns=name in learning)
                found[name] = weights
            except UserError as fault:
                found[name] = fault
        return found

    def tokenizer(self, name: str) -> Any:
        """The tokenizer of one of `weights`."""
        folder = self.weights[name].tokenizer
        if folder not in self._tokenizers:
            self._tokenizers[folder] = load_tokenizer(folder)
        return self._tokenizers[folder]

    @cached_property
    def data(self) -> dict[tuple[str, str], Rows | UserError]:
        """What is trained on, by name and kind: its rows, or what is wrong with it."""
        found: dict[tuple[str, str], Rows | UserError] = {}
        for run in self.trained:
            place = run.dataset_name, run.kind
            if place not in found:
                try:
                    found[place] = self.work.corpus(run.dataset, run.kind)
                except UserError as fault:
                    found[place] = fault
        return found
