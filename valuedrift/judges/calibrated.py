"""Judges that read answers themselves, as they are or through a calibration.

A calibration is four numbers, fitted on answers that people labelled, which make a judge's probabilities mean what they say: vector scaling (Guo et al.
2017) on what every judge gives, q ∝ exp(log p / T + b) with one temperature T and a bias b for each stance. A judge that calls too many answers oppose is
corrected by the bias, one that is too sure by the temperature. :mod:`valuedrift.judges.quality.calibrate` fits it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from valuedrift.errors import UserError
from valuedrift.faults import describe
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import Configured, Judge, JudgeBase, Judgement, Pair, remarks_of
from valuedrift.languages import ANY
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

VERSION = 1
"""Raised whenever the same numbers would be applied in another way."""
LEAST_T, MOST_T = 0.01, 100.0
"""Temperatures beyond these are no fit of anything, and far beyond them numbers overflow."""
MOST_BIAS = 100.0
"""The same of biases, nats."""
LEAST_P = 1e-6
"""Probabilities below this count as this in logarithms: a vote of six that is wrong must not cost infinitely much."""

_Bias = Annotated[float, Field(ge=-MOST_BIAS, le=MOST_BIAS)]


class Calibration(BaseModel):
    """What ``valuedrift judge calibrate`` writes and the judge's key ``calibration`` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(default=1, description="How the numbers are applied.")
    method: Literal["vector", "temperature"] = Field(description="Temperature and biases, or temperature alone.")
    temperature: float = Field(ge=LEAST_T, le=MOST_T, description="Divides log p; above 1 the judge was too sure.")
    bias: tuple[_Bias, _Bias, _Bias] = Field(description="Added to log p / temperature: support, neutral, oppose; in nats, sum 0.")
    judge: str = Field(description="Name of the judge that it was fitted for.")
    judge_fingerprint: str = Field(description="Fingerprint of that judge's identity; no other judge can be calibrated by it.")
    labels: dict[str, int] = Field(description="Labelled answers that it was fitted on, by stance.")
    prompts: int = Field(ge=0, description="Different prompts among them.")
    fitted_on: tuple[str, ...] = Field(
        default=(), description="Fingerprints of these prompts' texts: figures on them are no measure of it. Empty in files of version 0.2."
    )

    @property
    def fingerprint(self) -> str:
        """Of what changes answers: the numbers, not what they were fitted on."""
        return fingerprint([self.version, self.temperature, list(self.bias)])

    def apply(self, p: Array) -> Array:
        """Calibrated probabilities.

        Args:
            p: Support, neutral, oppose. Shape (rows, 3).
        """
        import numpy as np
        from scipy.special import softmax

        return np.asarray(softmax(np.log(np.maximum(p, LEAST_P)) / self.temperature + np.array(self.bias), axis=1))


def asked_marks(prompts: Iterable[str]) -> tuple[str, ...]:
    """What prompts are known by in a calibration, each once; sorted.

    Args:
        prompts: Their texts.
    """
    return tuple(sorted({fingerprint(prompt) for prompt in prompts}))


def read_calibration(path: Path, judge_identity: dict[str, Any]) -> Calibration:
    """A calibration from its file.

    Args:
        path: What ``valuedrift judge calibrate --out`` wrote.
        judge_identity: Identity of the judge, without calibration, that it is to be applied to.

    Raises:
        UserError: There is no such file, it is not a calibration, or it belongs to another judge.
    """
    make = "valuedrift judge calibrate … --out FILE"
    try:
        calibration = Calibration.model_validate_json(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError("no such calibration", where=str(path), fix=f"make it with: {make}") from error
    except ValidationError as error:
        raise UserError(f"not a calibration: {describe(error, Calibration)}", where=str(path), fix=f"make it with: {make}") from error
    if calibration.judge_fingerprint != fingerprint(judge_identity):
        raise UserError(
            f"this calibration was fitted for the judge {calibration.judge!r} as it was then: another model, prompt, weights or options",
            where=str(path),
            fix=f"fit it for this judge: {make}",
        )
    return calibration


class ReadingJudge(JudgeBase):
    """A judge that reads answers itself, as it is or through a calibration: what a judge of one's own is made from."""

    calibration: str | None = Field(
        default=None,
        description="File that `valuedrift judge calibrate` wrote for this very judge; its probabilities are corrected by it. Default: none.",
    )

    languages: tuple[str, ...] | Literal["any"] | None = Field(
        default=None,
        description="Languages that it can judge, as BCP 47 tags: [de, fr], or any. Default: what its kind says, English for embedded models, else any. "
        "Probes in another language are refused.",
    )

    @field_validator("languages", mode="before")
    @classmethod
    def _tags(cls, languages: Any) -> Any:
        tags = [languages] if isinstance(languages, str) and languages != ANY else languages
        if tags is None or tags == ANY or (isinstance(tags, list | tuple) and tags and all(isinstance(tag, str) and tag for tag in tags)):
            return tags
        raise ValueError(
            f"{languages!r} names no languages: give tags as [de, fr], each in quotes if YAML reads it as something else, or any"
        )

    knows: ClassVar[tuple[str, ...] | None] = None
    """Languages that judges of this kind know, None for any; of a language model whatever it was trained on, which nobody can say here."""

    @property
    def known_languages(self) -> tuple[str, ...] | None:
        """Languages that it can judge; None for any."""
        if self.languages is None:
            return self.knows
        return None if self.languages == ANY else tuple(self.languages)

    @abstractmethod
    def own_identity(self) -> dict[str, Any]:
        """What changes this judge's answers before calibration."""

    @abstractmethod
    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge without calibration; see :meth:`JudgeBase.load`."""

    def identity(self) -> dict[str, Any]:
        """Identity of the judge, and what of the calibration changes its answers: content, not path.

        Raises:
            UserError: The calibration is missing, not valid, or made for another judge.
        """
        own = self.own_identity()
        return own if self.calibration is None else {**own, "calibration": read_calibration(Path(self.calibration), own).fingerprint}

    def load(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge, calibrated where the study says so; see :meth:`JudgeBase.load`."""
        if self.calibration is None:
            return self.load_uncalibrated(threads=threads, device=device, keep=keep)
        calibration = read_calibration(Path(self.calibration), self.own_identity())
        return CalibratedJudge(self, self.load_uncalibrated(threads=threads, device=device, keep=keep), calibration)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another calibration file; see :meth:`JudgeBase.with_paths`."""
        return self if self.calibration is None else self.model_copy(update={"calibration": change(self.calibration)})


class CalibratedJudge(Configured[ReadingJudge]):
    """Judges with another judge and corrects its probabilities; statuses and the unassigned mass stay.

    Args:
        config: The judge as the study names it.
        judge: It without calibration.
        calibration: What corrects it.
    """

    def __init__(self, config: ReadingJudge, judge: Judge, calibration: Calibration) -> None:
        super().__init__(config)
        self._judge = judge
        self._calibration = calibration

    def remarks(self) -> list[str]:
        """What the judge itself says."""
        return remarks_of(self._judge)

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs; see :class:`valuedrift.judges.base.Judge`."""
        return calibrated(self._judge.judge(pairs, progress), self._calibration)


def calibrated(judgements: Sequence[Judgement], calibration: Calibration) -> list[Judgement]:
    """Judgements with corrected probabilities."""
    corrected = list(judgements)
    rows = [row for row, one in enumerate(corrected) if one.status is JudgeStatus.OK]
    if rows:
        p = calibration.apply(probabilities([corrected[row] for row in rows])).tolist()
        for row, (support, neutral, oppose) in zip(rows, p, strict=True):
            corrected[row] = Judgement(support, neutral, oppose, corrected[row].unassigned, JudgeStatus.OK)
    return corrected


def probabilities(judgements: Sequence[Judgement]) -> Array:
    """Probabilities of judgements that are all ok. Shape (judgements, 3)."""
    import numpy as np

    return np.array([[one.p_support, one.p_neutral, one.p_oppose] for one in judgements], dtype=np.float64).reshape(-1, 3)
