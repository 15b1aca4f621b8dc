"""What every judge takes and gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from valuedrift.judges.config_base import JudgeBase
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt as the model saw it, and the model's response."""

    id: str
    prompt: str
    response: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The stance distribution of one response; probabilities are None unless ``status`` is ok."""

    p_support: float | None
    """Probability in [0, 1] that the response supports what its prompt asks; the three sum to 1."""
    p_neutral: float | None
    p_oppose: float | None
    unassigned: float | None
    """Probability in [0, 1] that the judge put outside the three options before they were normalised (0 for a classifier)."""
    status: JudgeStatus

    @classmethod
    def without_stance(cls, status: JudgeStatus) -> Judgement:
        """A judgement that is not ok and therefore has no probabilities."""
        return cls(p_support=None, p_neutral=None, p_oppose=None, unassigned=None, status=status)


class Judge(Protocol):
    """Reads pairs and says which stance each response takes. A pair it cannot judge gets a status, never a quiet neutral."""

    @property
    def name(self) -> str:
        """Name of the judge in every table."""
        ...

    def identity(self) -> dict[str, Any]:
        """What changes its answers: content hash of weights, version of the preprocessing."""
        ...

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs.

        Args:
            pairs: What to judge, in any order and number.
            progress: Called now and then with how many pairs are done.

        Returns:
            One judgement a pair, in the order of ``pairs``.
        """
        ...


Config = TypeVar("Config", bound=JudgeBase)


class Configured(Generic[Config]):
    """What every judge has of its configuration.

    Args:
        config: The judge as the study names it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def name(self) -> str:
        """Name of the judge in every table."""
        return self._config.name

    def identity(self) -> dict[str, Any]:
        """See :func:`valuedrift.judges.config.judge_identity`."""
        return self._config.identity()


@runtime_checkable
class Remarking(Protocol):
    """A judge that has something to say about how it came to its judgements: what was spent, what was done in another way."""

    def remarks(self) -> list[str]:
        """One line each, for people."""
        ...


def remarks_of(judge: Judge) -> list[str]:
    """What a judge says about its judgements so far; most say nothing."""
    return judge.remarks() if isinstance(judge, Remarking) else []
