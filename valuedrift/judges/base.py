"""What every judge takes and gives back, and what every kind of judge has in a study file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from valuedrift.progress import Progress
from valuedrift.references import beside
from valuedrift.stance import JudgeStatus
from valuedrift.thoughts import answer_of

if TYPE_CHECKING:
    from valuedrift.servers.prices import AskingCost


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt as the model saw it, and the model's response."""

    id: str
    prompt: str
    response: str
    """What follows the thought, whether that was told apart before or not: only this is judged."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "response", answer_of(self.response))


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

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs.

        Args:
            pairs: What to judge, in any order and number.
            progress: Called now and then with how many pairs are done.

        Returns:
            One judgement a pair, in the order of ``pairs``.
        """
        ...


@runtime_checkable
class Remarking(Protocol):
    """A judge that has something to say about how it came to its judgements: what was spent, what was done in another way."""

    def remarks(self) -> list[str]:
        """One line each, for people."""
        ...


def remarks_of(judge: Judge) -> list[str]:
    """What a judge says about its judgements so far; most say nothing."""
    return judge.remarks() if isinstance(judge, Remarking) else []


class JudgeBase(BaseModel, ABC):
    """A judge as a study names it. Light: nothing heavy is imported before :meth:`load`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    when: ClassVar[str] = ""
    """When to take this kind of judge, for the docs."""
    light: ClassVar[bool] = False
    """Whether it takes little memory, so that a process may keep a language model beside it."""

    type: str = Field(description="Kind of judge.")
    name: str = Field(min_length=1, description="Name of the judge in every table.")

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What changes this judge's answers: see :func:`valuedrift.judges.registry.judge_identity`."""

    def control_names(self) -> frozenset[str]:
        """How the control tokens of its own tokenizer are written; empty where it has none here.

        A text that spells one is read as text; up to version 0.2 it was not, so that such texts are judged anew.
        """
        return frozenset()

    def provenance(self) -> dict[str, Any]:
        """Identity, and what else a reader of its numbers may want to know."""
        return self.identity()

    @abstractmethod
    def load(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge, ready to be asked.

        Args:
            threads: CPU threads it may use; None leaves torch's setting.
            device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).
            keep: Folder for what must not be asked or paid twice: a server's replies, in a file named after the judge. None: the user's cache folder.

        Raises:
            UserError: What it needs (weights, a key, a server) is missing.
        """

    @property
    def judged_from(self) -> tuple[str, ...]:
        """Names of judges of the same study from whose stances this one's are made; none for a judge that reads answers itself."""
        return ()

    @property
    def made_of(self) -> tuple[JudgeBase, ...]:
        """The whole judges that it holds and whose verdicts it combines; none for a judge that reads answers itself, or knows others by their names only."""
        return ()

    def check(self) -> None:
        """See whether it can judge by itself, as far as that is seen without loading it.

        Raises:
            UserError: What it needs (weights, a key, whole members) is missing.
        """
        self.identity()

    def asking_cost(self, prompts: Sequence[str], answers: int, answer_tokens: int, bring: Callable[[str], str] = str) -> AskingCost | None:
        """What this judge will be asked of a server, and what that will cost, before anything is asked; None for a judge that asks none.

        Args:
            prompts: The probes' texts.
            answers: Answers to each of them, of all checkpoints together.
            answer_tokens: Longest answer, tokens.
            bring: Makes a path of this machine of a file that the judge names.

        Raises:
            UserError: The price file is missing or lacks the model.
        """
        return None

    def reading_tokens(self, prompts: Sequence[str], answers: int, answer_tokens: int) -> int | None:
        """Tokens that a language model reads to judge, about, every answer as long as it may be; None for a judge that is none.

        Args:
            prompts: The probes' texts.
            answers: Answers to each of them, of all checkpoints together.
            answer_tokens: Longest answer, tokens.
        """
        return None

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with every file and folder that it names changed; what it names otherwise (embedded weights, models of a hub) stays."""
        return self

    def anchored(self, folder: Path | str) -> Self:
        """The same with relative paths taken from what its file lies in; see :func:`valuedrift.references.beside`."""
        return self.with_paths(partial(beside, folder))

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type always stands in what is written, also where defaults are left out: without it no file could be read back."""
        written: dict[str, Any] = handler(self)
        return {"type": self.type, **written}


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
