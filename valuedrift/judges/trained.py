"""Judges whose weights are trained by this program: small weights on an embedded model, which give logits of the three stances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import Field

from valuedrift.errors import UserError
from valuedrift.judges.base import Configured, Judgement, Pair
from valuedrift.judges.calibrated import ReadingJudge
from valuedrift.judges.network.weights import (
    CROSS_ENCODER,
    EMBEDDED,
    Description,
    Trained,
    body_folder,
    read_description,
    read_metrics,
    shipped_metrics,
    weights_folder,
    weights_identity,
)
from valuedrift.judges.refusals import status_before_judging
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 4096
"""Pairs tokenized at a time, so that memory does not grow with the file."""


class TrainedJudge(ReadingJudge):
    """A judge with trained weights in the package or in a folder."""

    trained: ClassVar[Trained]
    """What its weights are."""

    weights: str = Field(
        default="embedded",
        description="Packaged ones by name (`embedded`; the cross-encoder has `embedded-2` too, learnt from more), "
        "or a folder written by `valuedrift judge train`; of the cross-encoder also by `judge distil`.",
    )

    def own_identity(self) -> dict[str, Any]:
        """Content hashes of weights and body, versions of how texts are put before it and of the refusal rule."""
        return {"type": self.type, **weights_identity(self.weights, self.trained)}

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another weights folder; see :meth:`JudgeBase.with_paths`."""
        judge = super().with_paths(change)
        return judge if self.weights in self.trained.packaged else judge.model_copy(update={"weights": change(self.weights)})


def recorded_figures(judges: Sequence[object]) -> list[dict[str, Any]]:
    """What was measured of a study's judges when their weights were made, under the names that they have there.

    Those of the default judge come first, and are there also where a study has no judge of its name: versions before had them so.

    Args:
        judges: Of the study.
    """
    mine = [judge for judge in judges if isinstance(judge, TrainedJudge)]
    default = shipped_metrics()
    known = default[0]["name"]
    found = [] if any(judge.name == known and not _is_default(judge) for judge in mine) else [*default]
    for judge in mine:
        if judge.name != known or not _is_default(judge):
            found += [{**figures, "name": judge.name} for figures in read_metrics(weights_folder(judge.weights, judge.trained))]
    return found


def _is_default(judge: TrainedJudge) -> bool:
    return judge.trained is CROSS_ENCODER and judge.weights == EMBEDDED


Config = TypeVar("Config", bound=TrainedJudge)


class LogitJudge(Configured[Config], ABC):
    """Judges by logits that a temperature divides.

    Args:
        config: The judge as the study names it.
        temperature: Divides the logits.
        status: The status that a response has by its text alone.
    """

    def __init__(self, config: Config, temperature: float, status: Callable[[str], JudgeStatus] = status_before_judging) -> None:
        super().__init__(config)
        self._temperature = temperature
        self._status = status

    @abstractmethod
    def logits(self, pairs: Sequence[Pair], progress: Callable[[float], None] = lambda _: None) -> NDArray[np.float64]:
        """Uncalibrated logits of whole responses, whatever is in them.

        Args:
            pairs: What to judge.
            progress: Called with the share that is done.

        Returns:
            Shape (pairs, 3): support, neutral, oppose.
        """

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs; see :class:`valuedrift.judges.base.Judge`."""
        judgements: list[Judgement] = []
        for start in range(0, len(pairs), _CHUNK):
            judgements += self._chunk(pairs[start : start + _CHUNK], start, len(pairs), progress)
        return judgements

    def _chunk(self, pairs: Sequence[Pair], begun: int, total: int, progress: Callable[[Progress], None] | None) -> list[Judgement]:
        from scipy.special import softmax

        def report(share: float) -> None:
            if progress is not None:
                progress(Progress(begun + int(share * len(pairs)), total, self.name))

        statuses = [self._status(pair.response) for pair in pairs]
        judgements = [Judgement.without_stance(status) for status in statuses]
        readable = [index for index, status in enumerate(statuses) if status is JudgeStatus.OK]
        probabilities = softmax(self.logits([pairs[index] for index in readable], report) / self._temperature, axis=1)
        for index, (support, neutral, oppose) in zip(readable, probabilities.tolist(), strict=True):
            judgements[index] = Judgement(support, neutral, oppose, 0.0, JudgeStatus.OK)
        report(1.0)
        return judgements


def opened(config: TrainedJudge, body_fingerprint: Callable[[Path], str], threads: int | None) -> tuple[Path, Description, Path]:
    """What a judge is loaded from, found to belong together.

    Args:
        config: The judge.
        body_fingerprint: Content hash of a body's folder.
        threads: CPU threads of this process; None leaves torch's setting.

    Returns:
        Folder of the weights, what they are, and folder of their body.

    Raises:
        UserError: The weights are missing, or the body is not the one they were trained on.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    folder = weights_folder(config.weights, config.trained)
    description = read_description(folder, config.trained)
    body = body_folder(folder, description)
    if body_fingerprint(body) != description.body_fingerprint:
        raise UserError(
            f"the judge was trained on another version of {description.body}",
            where=str(body),
            fix=f"train it again: {config.trained.train}",
        )
    return folder, description, body


def chosen(device: str) -> str:
    """The device that a name stands for: ``auto`` is a GPU if torch sees one."""
    import torch

    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
