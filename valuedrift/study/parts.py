"""The parts of a study file: its probes, its models and its phases of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.held_out import HeldOut
from valuedrift.corpora.splits import split_parts
from valuedrift.models.embedded import EMBEDDED
from valuedrift.training.registry import Algorithm, types_of

SEEDS = 2**32
"""Seeds of a training are below it: numpy takes no larger one."""


def _several_distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} stands twice; each seed trains every run once")
    if len(seeds) == 1:
        raise ValueError(f"one seed has no spread: name two or more, or give `seed: {seeds[0]}` alone")
    return seeds


Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=SEEDS, strict=True)], ...], AfterValidator(_several_distinct)]
"""Seeds that a study trains each of its runs with: none, or two and more."""


class Part(BaseModel):
    """What every part of a study file is: frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Probes(Part):
    """Which questions are asked at every checkpoint."""

    set: str = Field(
        default="starter",
        description="`starter` (550 packaged probes) or a file, also `s3://bucket/key`: Parquet, CSV or JSONL with the probes table's columns.",
    )
    topics: tuple[str, ...] | None = Field(default=None, min_length=1, description="Topics to keep, by name; default: all.")
    per_topic: int | None = Field(
        default=None, ge=2, description="Probes a topic, taken as whole for-and-against pairs; default: all (paper: 50)."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Column of probes to its name in the file, e.g. {prompt: question, topic: theme}."
    )


PROBE_SETS: TypeAdapter[tuple[Probes, ...]] = TypeAdapter(tuple[Probes, ...])


class Model(Part):
    """A model that studies start from."""

    path: str = Field(description="`embedded:NAME`, a folder in Hugging Face layout, also `s3://bucket/prefix`, or `hf:organisation/name`.")
    parameters: float | None = Field(
        default=None, gt=0, description="Number of weights, for estimates where the model is not at hand; of embedded models it is known."
    )

    @property
    def known_parameters(self) -> float | None:
        """Number of weights as the study says it, else as an embedded model is known to have; None where nothing tells."""
        kind, _, name = self.path.partition(":")
        embedded = EMBEDDED.get(name) if kind == "embedded" else None
        return self.parameters if self.parameters is not None or embedded is None else embedded.parameters


class _Phase(Part):
    """What every phase may say."""

    held_out: HeldOut | None = Field(
        default=None,
        description="Rows on which the algorithm's loss is computed at each checkpoint, and which are not learnt: a share of each dataset as 0.1, another "
        "split of it as `test` or `train[90%:]`, or a dataset of its own as {data: …}. Default: none.",
    )

    @field_validator("held_out", mode="before")
    @classmethod
    def _rows_held_out(cls, held_out: Any) -> Any:
        known = held_out is None or isinstance(held_out, int | float | str | Mapping | Dataset)
        if not known or isinstance(held_out, bool) or (isinstance(held_out, int | float) and not 0 < held_out < 1):
            raise ValueError(f"{held_out} is no share of the rows: a number between 0 and 1, a split, or {{data: …}}")
        if isinstance(held_out, str):
            split_parts(held_out)
        return Dataset.model_validate(held_out) if isinstance(held_out, Mapping) else held_out


class SFTPhase(_Phase):
    """Supervised fine-tuning of every model on each corpus."""

    data: tuple[str, ...] = Field(min_length=1, description="Names under `corpora`; one run each.")
    algorithm: Algorithm = Field(description=f"An algorithm of type {types_of('sft')}.")
    sweep: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="Algorithm fields to vary, one run a value; one field at a time."
    )


class PreferencePhase(_Phase):
    """Preference optimization, started from SFT runs or from the models themselves."""

    data: tuple[str, ...] = Field(min_length=1, description="Names under `preferences`; one run each.")
    algorithm: Algorithm = Field(description=f"An algorithm of type {types_of('preference')}.")
    after: tuple[str, ...] | None = Field(
        default=None,
        description="Corpora whose SFT runs are continued, and `base` for the models themselves; default: all SFT runs, or the models where there are none.",
    )
    sweep: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="Algorithm fields to vary, one run a value; one field at a time."
    )


def check_algorithm(section: str, phase: SFTPhase | PreferencePhase) -> None:
    """Refuse an algorithm in the wrong section, a sweep of what it has not, and rows held out where it has no loss on them.

    Raises:
        ValueError: Says which.
    """
    algorithm = type(phase.algorithm)
    if algorithm.section() != section:
        raise ValueError(f"{section}: algorithm type {phase.algorithm.type!r} belongs under `{algorithm.section()}`")
    check_known(phase.sweep, algorithm.model_fields, f"fields of {algorithm.__name__}")
    if phase.held_out is not None and not algorithm.evaluated:
        raise ValueError(f"{section}: {algorithm.title} learns from answers that it draws, so there is no loss on rows that are `held_out`")


def check_split(phase: SFTPhase | PreferencePhase, sets: Mapping[str, Dataset]) -> None:
    """Refuse a split of a mixture, which has none.

    Raises:
        ValueError: Says of which.
    """
    mixed = next((name for name in phase.data if sets[name].mixture), None)
    if isinstance(phase.held_out, str) and mixed is not None:
        raise ValueError(f"held_out: {mixed!r} is a mixture, which has no splits; give a share of its rows, or {{data: …}}")


def check_known(names: Iterable[str], valid: Iterable[str], where: str) -> None:
    """Refuse a name that is not known, with the nearest one that is.

    Args:
        names: What is named.
        valid: What there is.
        where: What that is called.

    Raises:
        ValueError: Says which name.
    """
    known = list(valid)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known) or 'none'}"
            raise ValueError(f"{name!r} is not among {where}{hint}")
