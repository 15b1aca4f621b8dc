"""A local language model as a judge: one prompt an order of the options, log-probabilities of the replies, one distribution a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator

from valuedrift.engines.registry import LocalEngineConfig
from valuedrift.engines.transformers import TransformersEngineConfig
from valuedrift.errors import UserError
from valuedrift.judges.base import Configured, Judge, Judgement, Pair
from valuedrift.judges.prompted import JudgePrompt, PromptedJudge, label_set, stance_distribution, status_before_asking
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from valuedrift.engines.base import Engine

_CHUNK = 64
"""Pairs asked between two reports of progress."""


class CausalLM(PromptedJudge):
    """Log-probabilities of three options after one prompt, by a model on this machine: the paper's way. As good as its model."""

    when = "you have a good open model (7B and up, say) and a GPU: other languages, argued answers, nothing leaves the machine"

    type: Literal["causal-lm"] = Field(default="causal-lm", description="Kind of judge.")
    name: str = Field(default="causal-lm", min_length=1, description="Name of the judge in every table.")
    engine: LocalEngineConfig = Field(
        default=TransformersEngineConfig(),
        description="What reads the prompts: an engine with its model. The embedded model is far too small to judge; see docs/judges.md.",
    )

    @field_validator("engine", mode="before")
    @classmethod
    def _default_engine(cls, engine: Any) -> Any:
        """``engine: {model: …}`` is enough."""
        return {"type": "transformers", **engine} if isinstance(engine, dict) else engine

    @property
    def known_languages(self) -> tuple[str, ...] | None:
        """See :attr:`ReadingJudge.known_languages`; the embedded model knows English."""
        embedded = self.languages is None and self.engine.model.startswith("embedded:")
        return ("en",) if embedded else super().known_languages

    def own_identity(self) -> dict[str, Any]:
        """Content of the model, engine with version and dtype, version of the prompt with its options."""
        return {"type": self.type, "engine": self.engine.identity(), **self.prompt_identity()}

    def control_names(self) -> frozenset[str]:
        """Those of its model; see :meth:`JudgeBase.control_names`."""
        from valuedrift.models.control import control_names
        from valuedrift.models.resolve import resolve_weights

        return control_names(resolve_weights(self.engine.model).tokenizer)

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge with its model in memory; see :meth:`JudgeBase.load`."""
        return load_causal_lm_judge(self, threads=threads, device=device)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another model folder; see :meth:`JudgeBase.with_paths`."""
        return super().with_paths(change).model_copy(update={"engine": self.engine.with_paths(change)})


class CausalLMJudge(Configured[CausalLM]):
    """Judges with a model in memory; made by :func:`load_causal_lm_judge`.

    Args:
        config: The judge as the study names it.
        engine: Holds the model.

    Raises:
        UserError: The model's tokenizer cannot tell the options apart.
    """

    def __init__(self, config: CausalLM, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine
        self._variants = _reply_variants(engine, label_set(config.labels), config.engine.model)

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs; see :class:`valuedrift.judges.base.Judge`."""
        statuses = [status_before_asking(pair.response) for pair in pairs]
        judgements = [Judgement.without_stance(status) for status in statuses]
        asked = sorted(
            (row for row, status in enumerate(statuses) if status is JudgeStatus.OK),
            key=lambda row: (-len(pairs[row].prompt) - len(pairs[row].response), row),
        )
        done = len(pairs) - len(asked)
        for start in range(0, len(asked), _CHUNK):
            rows = asked[start : start + _CHUNK]
            for row, judgement in zip(rows, self._ask([pairs[row] for row in rows]), strict=True):
                judgements[row] = judgement
            done += len(rows)
            if progress is not None:
                progress(Progress(done, len(pairs), self.name))
        if progress is not None and not asked:
            progress(Progress(done, len(pairs), self.name))
        return judgements

    def _ask(self, pairs: Sequence[Pair]) -> list[Judgement]:
        config = self._config
        prompts = [config.prompts_of(pair.prompt, pair.response) for pair in pairs]
        flat = [prompt for orders in prompts for prompt in orders]
        scores = self._reply_logprobs(flat)
        return [_judgement(scores[start : start + config.rotations]) for start in range(0, len(flat), config.rotations)]

    def _reply_logprobs(self, prompts: Sequence[JudgePrompt]) -> NDArray[np.float64]:
        """Log-probabilities [prompts, 3] of the replies that stand for support, neutral, oppose."""
        import numpy as np

        spellings = [spelling for variants in self._variants.values() for spelling in variants]
        scores = self._engine.score([prompt.text for prompt in prompts], spellings, alike=self._config.rotations)
        of_label: dict[str, NDArray[np.float64]] = {}
        start = 0
        for label, variants in self._variants.items():
            with np.errstate(invalid="ignore"):  # NaN: the prompt did not fit
                of_label[label] = np.asarray(np.logaddexp.reduce(scores[:, start : start + len(variants)], axis=1))
            start += len(variants)
        return np.array([[of_label[label][row] for label in prompt.labels] for row, prompt in enumerate(prompts)]).reshape(-1, 3)


def _judgement(logprobs: NDArray[np.float64]) -> Judgement:
    import numpy as np

    if not np.isfinite(logprobs).all():
        return Judgement.without_stance(JudgeStatus.FAILED)
    (support, neutral, oppose), outside = stance_distribution(logprobs.tolist())
    return Judgement(support, neutral, oppose, outside, JudgeStatus.OK)


def _reply_variants(engine: Engine, labels: Sequence[str], model: str) -> dict[str, tuple[str, ...]]:
    """How each label may be spelled at the start of a reply: as it is, and after a space where that begins with a token of its own.

    Raises:
        UserError: Two labels begin with the same token, or the tokenizer does not know one.
    """
    plain = {label: engine.option_tokens(label)[0] for label in labels}
    if len(set(plain.values())) < len(labels):
        raise UserError(
            f"a judge model without the options as tokens: {', '.join(labels)} do not begin with tokens of their own",
            where=model,
            fix="set labels to the other of letters and words, or take another model",
        )
    spaced = {label: engine.option_tokens(f" {label}")[0] for label in labels}
    both = len({*plain.values(), *spaced.values()}) == 2 * len(labels)
    return {label: (label, f" {label}") if both else (label,) for label in labels}


def load_causal_lm_judge(config: CausalLM, *, threads: int | None = None, device: str = "auto") -> CausalLMJudge:
    """Load the model.

    Args:
        config: The judge.
        threads: CPU threads of this process; None leaves torch's setting.
        device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).

    Raises:
        UserError: The model is missing, cannot be loaded, or cannot tell the options apart.
    """
    return CausalLMJudge(config, config.engine.open(device=device, threads=threads))
