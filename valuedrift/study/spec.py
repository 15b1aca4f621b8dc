"""The study file: identity in full (what changes the numbers), and beside it the runtime (what does not)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidatorFunctionWrapHandler, field_validator, model_validator

from valuedrift.attribution.options import Attribution
from valuedrift.audit.options import StudyAudit
from valuedrift.capability.options import Capability
from valuedrift.corpora.dataset import Dataset
from valuedrift.drift.options import Analysis
from valuedrift.engines.base import LocalEngine, RemoteEngine
from valuedrift.engines.registry import ENGINES, RemoteEngineConfig, check_rendering, engine_identity, local_engine
from valuedrift.judges.calibrated import ReadingJudge
from valuedrift.judges.cascade import Cascade
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JudgeConfig
from valuedrift.sampling import Sampling
from valuedrift.study.parts import (
    PROBE_SETS,
    SEEDS,
    Model,
    Part,
    PreferencePhase,
    Probes,
    Seeds,
    SFTPhase,
    check_algorithm,
    check_known,
    check_split,
)
from valuedrift.study.runtime import Runtime
from valuedrift.training.schedule import Adaptive, LogSpaced, Schedule
from valuedrift.watching.alerts import Alerts
from valuedrift.watching.series import Series

SERVED = "served"
"""Stands for the model of an engine that asks for each of a study's."""
BASE = "base"
"""Stands for the model itself where a preference phase says what it starts from."""
ENGINE_BY_TYPE: TypeAdapter[RemoteEngine] = TypeAdapter(RemoteEngineConfig)
_WHO_READS = "judges of the study that cascade {!r} can name as {}"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_name(name: str, kind: str) -> None:
    """Refuse a name that could not stand in a path, a run's name or SQL.

    Raises:
        ValueError: It holds other characters than those.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{kind} {name!r} must be lower-case letters, digits, '.', '_' and '-', and begin with a letter or digit")


class Study(Part):
    """A study of value drift. All but its name, description and ``runtime`` can change its numbers; each stage's identity holds its part."""

    study: str = Field(description="Name of the study: the partition of every table.")
    description: str = Field(default="", description="What the study asks, in a sentence or two; shown in the report.")
    probes: Probes | tuple[Probes, ...] = Field(default=Probes(), description="The questions: a probe set, or a list of several.")
    models: dict[str, Model] = Field(default_factory=dict, description="Models by short name, which runs start from.")
    served: dict[str, dict[int, str]] = Field(
        default_factory=dict,
        description="Instead of models and runs: by name of a run, the checkpoints that a server has, name of its model by step, "
        "e.g. {mine: {0: base, 100: mine-100}}; with an engine that asks it.",
    )
    series: dict[str, Series] = Field(
        default_factory=dict,
        description="Checkpoints that something else trained, or trains now, by name of the run: beside runs that are trained here, or instead of them.",
    )
    corpora: dict[str, Dataset] = Field(default_factory=dict, description="SFT corpora by name.")
    preferences: dict[str, Dataset] = Field(default_factory=dict, description="Preference sets by name.")
    sft: tuple[SFTPhase, ...] = Field(default=(), description="Supervised phases, one or more where models are trained.")
    preference: tuple[PreferencePhase, ...] = Field(default=(), description="Preference phases.")
    checkpoints: Schedule = Field(
        default=LogSpaced(type="log", points=6),
        description="At which steps a run is saved and sampled; 0 and the last always are. Of a `series` all checkpoints are sampled, or as many as "
        "type: adaptive allows.",
    )
    sampling: Sampling = Field(default=Sampling(), description="How answers are drawn.")
    engine: str | RemoteEngineConfig = Field(
        default="transformers",
        description="What draws the answers: transformers, vllm, or one of your own; or, for `served` models, {type: openai, base_url: …}. "
        "Engines round differently, so it is identity.",
    )
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        default="bfloat16", description="Dtype in which answers are sampled; rounding differs, so it is identity."
    )
    judges: tuple[JudgeConfig, ...] = Field(
        default=(CrossEncoder(),), min_length=1, description="Who judges stance; the first is the main one."
    )
    audit: StudyAudit | None = Field(
        default=StudyAudit(rows=300),
        description="How the study's datasets are audited for the stances they teach, by its `auditor`, else by the first judge that reads every answer "
        "itself; null leaves it out.",
    )
    attribute: Attribution | None = Field(
        default=None,
        description="Which rows of the data moved which stance, for some runs and topics: {runs: […], topics: […]}; {} for all that can be. "
        "Default: not asked.",
    )
    analysis: Analysis = Field(default=Analysis(), description="Confidence level and resamples.")
    alerts: Alerts | None = Field(
        default=None,
        description="Which changes are told as soon as they are sure, at each checkpoint: a list like [`neutral on immigration < -0.2`, `support > 0.1`, "
        "`moved`]. Default: whatever has moved, of `series`; [] for none.",
    )
    capability: Capability | None = Field(
        default=None,
        description="Tasks of lm-evaluation-harness, or items of your own, put to the checkpoints too: what else moved. Default: none.",
    )
    seed: int = Field(default=0, ge=0, lt=SEEDS, description="Seed of training: data order and initial adapters.")
    seeds: Seeds = Field(
        default=(),
        description="Trains each run once a seed, at least two, so that drifts are told with the spread over seeds. A run of `seed` keeps its name, those of "
        "others end in `-seed1`; so a list may grow later. Default: `seed` alone.",
    )
    runtime: Runtime = Field(default=Runtime(), description="Where and how fast; never part of a fingerprint.")

    @field_validator("study")
    @classmethod
    def _study_name(cls, name: str) -> str:
        check_name(name, "study")
        return name

    @field_validator("probes", mode="wrap")
    @classmethod
    def _one_set_or_several(cls, probes: Any, _: ValidatorFunctionWrapHandler) -> Probes | tuple[Probes, ...]:
        if not isinstance(probes, list | tuple):
            return Probes.model_validate(probes)
        if not probes:
            raise ValueError("an empty list asks nothing: a probe set, or a list of several")
        sets = PROBE_SETS.validate_python(probes)
        return sets[0] if len(sets) == 1 else sets

    @property
    def probe_sets(self) -> tuple[Probes, ...]:
        """The probe sets, one or several."""
        return (self.probes,) if isinstance(self.probes, Probes) else self.probes

    @property
    def probes_in_words(self) -> str:
        """The probe sets by name, for messages."""
        return ", ".join(dict.fromkeys(probes.set for probes in self.probe_sets))

    @field_validator("engine", mode="before")
    @classmethod
    def _engine_of_a_study(cls, engine: Any) -> Any:
        """An engine that holds weights by its type alone, one that asks a server whole but for its model: the study's models are under keys of their own."""
        if isinstance(engine, Mapping):
            local = engine.get("type") in ENGINES.types(LocalEngine)
            if local and set(engine) == {"type"}:
                return engine["type"]
            if local or engine.get("model", SERVED) != SERVED:
                raise ValueError("an engine of a study takes its models from `models` or `served`, and dtype from `dtype`")
            return ENGINE_BY_TYPE.validate_python({"model": SERVED, **engine})
        if isinstance(engine, str):
            if engine in ENGINES.types(RemoteEngine):
                raise ValueError(f"{engine!r} asks a server for `served` models: engine: {{type: {engine}, base_url: …}}")
            check_known([engine], ENGINES.types(LocalEngine), "engines that hold a study's checkpoints")
        return engine

    @field_validator("judges")
    @classmethod
    def _one_judge_a_name(cls, judges: tuple[JudgeConfig, ...]) -> tuple[JudgeConfig, ...]:
        names = [judge.name for judge in judges]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two judges named {twice!r}; give each a `name` of its own")
        strong = {judge.strong: judge.name for judge in judges if isinstance(judge, Cascade)}
        reading = [judge.name for judge in judges if isinstance(judge, ReadingJudge) and judge.name not in strong]
        for panel in judges:
            if isinstance(panel, Panel):
                if panel.judged_from != panel.names:
                    raise ValueError(f"panel {panel.name!r}: in a study, members are names of its other judges")
                check_known(panel.names, reading, f"judges that panel {panel.name!r} can use")
        for cascade in judges:
            if isinstance(cascade, Cascade):
                panels = [judge.name for judge in judges if isinstance(judge, Panel)]
                readers = [judge.name for judge in judges if isinstance(judge, ReadingJudge)]
                check_known([cascade.strong], readers, _WHO_READS.format(cascade.name, "strong"))
                check_known([cascade.cheap], [*reading, *panels], _WHO_READS.format(cascade.name, "cheap"))
        if names[0] in strong:
            raise ValueError(
                f"the first judge is the main one, and {names[0]!r} reads nothing but the sample of cascade {strong[names[0]]!r}: name the cascade first"
            )
        return judges

    @property
    def judges_in_order(self) -> tuple[JudgeConfig, ...]:
        """The judges, each after those from whose stances it is made."""
        made_of = {judge.name: judge.judged_from for judge in self.judges}

        def depth(name: str) -> int:
            return max((1 + depth(one) for one in made_of[name]), default=0)

        return tuple(sorted(self.judges, key=lambda judge: depth(judge.name)))

    @property
    def cascades(self) -> tuple[Cascade, ...]:
        """The judges that read a sample by another one."""
        return tuple(judge for judge in self.judges if isinstance(judge, Cascade))

    @property
    def reading_all(self) -> tuple[ReadingJudge, ...]:
        """The judges that read every answer themselves."""
        strong = {cascade.strong for cascade in self.cascades}
        return tuple(judge for judge in self.judges if isinstance(judge, ReadingJudge) and judge.name not in strong)

    @property
    def auditor(self) -> ReadingJudge:
        """Who audits the study's datasets."""
        named = self.audit.auditor if self.audit is not None else None
        return next((judge for judge in self.reading_all if judge.name == named), self.reading_all[0])

    @property
    def engine_name(self) -> str:
        """Type of the engine."""
        return self.engine if isinstance(self.engine, str) else self.engine.type

    def drawing_identity(self) -> dict[str, Any]:
        """What of the engine can change a draw, whatever the checkpoint."""
        return engine_identity(self.engine, dtype=self.dtype) if isinstance(self.engine, str) else self.engine.drawing_identity()

    @model_validator(mode="after")
    def _audited_by_one_of_its_judges(self) -> Study:
        if self.audit is not None and self.audit.auditor is not None:
            check_known(
                [self.audit.auditor],
                [judge.name for judge in self.reading_all],
                "judges that read every answer themselves, for `audit.auditor`",
            )
        return self

    @model_validator(mode="after")
    def _questions_are_put_so(self) -> Study:
        check_rendering(self.engine, self.sampling)
        return self

    @model_validator(mode="after")
    def _trained_or_served(self) -> Study:
        if isinstance(self.engine, str):
            if self.served:
                raise ValueError(f"`served` models are asked by an engine like {{type: openai, base_url: …}}, not by {self.engine}")
            if not self.models and not self.series:
                raise ValueError("missing key `models`: a study starts from one at least, or follows a `series` of checkpoints")
            if not self.sft and not self.preference and not self.series:
                raise ValueError(
                    "missing key `sft`: a study has one phase of it at least, or of `preference`, or follows a `series` of checkpoints"
                )
            return self
        for key in ("models", "series", "corpora", "preferences", "sft", "preference"):
            if getattr(self, key):
                raise ValueError(
                    f"`{key}`: nothing that is trained here can be sampled by {self.engine.type}, because a server's weights cannot be exchanged; "
                    "name its models under `served`, or take engine transformers or vllm"
                )
        if not self.served:
            raise ValueError(f"engine {self.engine.type} asks a server for models: name them under `served`")
        for name, models in self.served.items():
            check_name(name, "run")
            if len(models) < 2:
                raise ValueError(f"served {name!r}: a drift is from one checkpoint to another; name two or more, by step")
            if min(models) < 0 or max(models) >= 2**53 or not all(models.values()):
                raise ValueError(f"served {name!r}: steps are 0 or more, below 2^53, and each has the name of a model")
        return self

    @model_validator(mode="after")
    def _trained_once_a_seed(self) -> Study:
        if self.seeds and not self.sft and not self.preference:
            raise ValueError("seeds: this study trains nothing that could be trained again; leave the key out")
        if self.seeds and "seed" in self.model_fields_set and self.seed not in self.seeds:
            raise ValueError(f"seed: {self.seed} is not among `seeds`; add it there, or leave one of the keys out")
        return self

    @property
    def trained_seeds(self) -> tuple[int, ...]:
        """The seeds that every run is trained with."""
        return self.seeds or (self.seed,)

    @model_validator(mode="after")
    def _engine_continues(self) -> Study:
        if self.capability is not None and (not isinstance(self.engine, str) or not local_engine(self.engine).continues):
            fit = [name for name in ENGINES.types(LocalEngine) if local_engine(name).continues]
            raise ValueError(f"`capability` scores continuations, which engine {self.engine_name} can't: take engine {' or '.join(fit)}")
        return self

    @model_validator(mode="after")
    def _adaptive_of_series(self) -> Study:
        trained = [key for key in ("sft", "preference", "served") if getattr(self, key)]
        if isinstance(self.checkpoints, Adaptive) and trained:
            raise ValueError(
                f"checkpoints: type adaptive chooses among the many checkpoints of a `series`, and this study has `{trained[0]}` too: runs that are trained "
                "here save only what they evaluate. Take type log, every or steps, or a study of its own for the series"
            )
        return self

    @model_validator(mode="after")
    def _names(self) -> Study:
        for kind, names in (("model", self.models), ("corpus", self.corpora), ("preference set", self.preferences)):
            for name in names:
                check_name(name, kind)
        for name, series in self.series.items():
            check_name(name, "series")
            if series.after == name:
                raise ValueError(f"series {name!r} continues itself: `after` names another run or series")
        for sft in self.sft:
            check_known(sft.data, self.corpora, "corpora")
            check_split(sft, self.corpora)
            check_algorithm("sft", sft)
        trained = [name for sft in self.sft for name in sft.data]
        for phase in self.preference:
            check_known(phase.data, self.preferences, "preferences")
            check_split(phase, self.preferences)
            check_known(phase.after or (), [*trained, BASE], "sft data")
            check_algorithm("preference", phase)
        return self
