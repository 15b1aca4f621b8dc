"""What stands in the way of a study, found before anything is made of it: `valuedrift plan --check`, which `run` does first.

Weights are looked at by their headers alone. Only what stages that are not done need is looked at: a finished study needs none of it. A check is one entry in
the list below.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from valuedrift.corpora.normal import Row
from valuedrift.engines.base import LocalEngine
from valuedrift.engines.prompting import end_tokens, tokenise_prompts
from valuedrift.engines.registry import ENGINES
from valuedrift.errors import DataError, UserError
from valuedrift.models.loading import check_files
from valuedrift.models.others import read_by_others
from valuedrift.study import RunPlan
from valuedrift.study.disk import peak_bytes
from valuedrift.study.estimate import bytes_of_checkpoint
from valuedrift.study.parts import Model
from valuedrift.study.understood import check_languages
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.still_to_make import Ahead
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import State, survey
from valuedrift.training.rendering import check_rendering
from valuedrift.words import counted, size


@dataclass(frozen=True)
class Check:
    """One thing that may stand in the way.

    Attributes:
        name: What it is called.
        looks_at: What it reads, in words.
        faults: Yields what it finds, each with its place and remedy.
    """

    name: str
    looks_at: str
    faults: Callable[[Ahead], Iterator[UserError]]


def _models(ahead: Ahead) -> Iterator[UserError]:
    yield from ahead.broken


def _data(ahead: Ahead) -> Iterator[UserError]:
    yield from (fault for fault in ahead.data.values() if isinstance(fault, UserError))


def _templates(ahead: Ahead) -> Iterator[UserError]:
    seen: set[tuple[str, str, str]] = set()
    for run in ahead.trained:
        rows = ahead.data[run.dataset_name, run.kind]
        place = run.model_name, run.dataset_name, run.kind
        if run.model_name not in ahead.weights or isinstance(rows, UserError) or place in seen:
            continue
        seen.add(place)
        try:
            for row in _of_each_shape(rows.rows):
                check_rendering(ahead.tokenizer(run.model_name), row, run.kind)
        except UserError as fault:
            yield type(fault)(fault.what, where=f"model {run.model_name}, dataset {run.dataset_name}: {fault.where}", fix=fault.fix)


def _of_each_shape(rows: Sequence[Row]) -> Iterator[Row]:
    """The first row of each order of speakers: a template may take one and not another."""
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        messages = row.get("messages", row.get("prompt"))
        speakers = tuple(message["role"] for message in messages) if isinstance(messages, list) else ()
        if speakers not in seen and len(seen) < _MOST_SHAPES:
            seen.add(speakers)
            yield row


_MOST_SHAPES = 20
"""Orders of speakers that are tried; long conversations have many, which say little more."""


def _prompts(ahead: Ahead) -> Iterator[UserError]:
    from transformers import AutoConfig, GenerationConfig

    for name, weights in ahead.weights.items():
        try:
            config = AutoConfig.from_pretrained(weights.base, trust_remote_code=False, local_files_only=True)
            tokenise_prompts(ahead.tokenizer(name), config, ahead.work.asked, ahead.work.study.sampling)
            if (weights.base / "generation_config.json").exists():
                with read_by_others("generation config not loadable", weights.base):
                    generation = GenerationConfig.from_pretrained(weights.base, local_files_only=True)
                end_tokens(generation, ahead.tokenizer(name))
        except UserError as fault:
            yield type(fault)(fault.what, where=f"model {name}: {fault.where}", fix=fault.fix)


def _languages(ahead: Ahead) -> Iterator[UserError]:
    study = ahead.work.study
    for judge in study.judges:
        if judge.name in ahead.judges:
            try:
                check_languages([judge], ahead.work.probes, study.probes_in_words)
            except UserError as fault:
                yield fault


def _room(ahead: Ahead) -> Iterator[UserError]:
    kept, runs_ahead = ahead.work.runtime.checkpoints.keep, [_with_parameters(run, ahead) for run in ahead.trained]
    sizes = {run.run_id: bytes_of_checkpoint(run) for run in runs_ahead}
    needed = peak_bytes(runs_ahead, sizes, kept, ahead.work.runtime.workers)
    free = shutil.disk_usage(ahead.work.local).free
    if needed > free:
        runs = counted(len(ahead.trained), "run")
        yield UserError(
            f"the checkpoints of {runs} take about {size(needed)}, and {size(free)} are free",
            where=str(ahead.work.local),
            fix="make room, save fewer checkpoints (`checkpoints:`), keep fewer (`runtime.checkpoints.keep`), train adapters (`lora:`), or take another root",
        )


def _with_parameters(run: RunPlan, ahead: Ahead) -> RunPlan:
    """The run with the number of its model's weights, where the study does not say."""
    if run.model.known_parameters is not None or run.model_name not in ahead.weights:
        return run
    bytes_of_weights = sum(file.stat().st_size for file in ahead.weights[run.model_name].base.glob("*.safetensors"))
    return replace(run, model=run.model.model_copy(update={"parameters": bytes_of_weights / _BYTES_A_WEIGHT}))


_BYTES_A_WEIGHT = 2.0
"""Of weights in 16 bits, as most are kept; those in 32 are counted twice, on the safe side."""


def _keys(ahead: Ahead) -> Iterator[UserError]:
    from valuedrift.servers.server import OPENAI, Server

    study = ahead.work.study
    asking = [judge for judge in study.judges if judge.name in ahead.judges]
    for named, one in [*((f"judge {judge.name}", judge) for judge in asking), ("engine", study.engine)]:
        if isinstance(one, Server) and one.base_url == OPENAI and one.key_variable and not os.environ.get(one.key_variable):
            yield UserError(f"{one.base_url} asks for a key, and {one.key_variable} is not set", where=named, fix=f"set {one.key_variable}")


def _engines(ahead: Ahead) -> Iterator[UserError]:
    engine = ahead.work.study.engine
    if isinstance(engine, str) and ahead.models and engine in ENGINES.types(LocalEngine):
        try:
            ENGINES.kind(engine)
        except UserError as fault:
            yield fault


def _trackers(ahead: Ahead) -> Iterator[UserError]:
    for tracker in ahead.work.runtime.trackers if ahead.told else ():
        try:
            tracker.check()
        except UserError as fault:
            yield fault


def _capability(ahead: Ahead) -> Iterator[UserError]:
    capability = ahead.work.study.capability
    for task in capability.tasks if capability is not None and ahead.tested else ():
        try:
            ahead.work.task(task)
        except UserError as fault:
            yield fault


CHECKS: tuple[Check, ...] = (
    Check("engine", "whether the engine can be imported", _engines),
    Check("models", "config, headers of the weights, tokenizer, end token", _models),
    Check("data", "every row, as the algorithm reads it", _data),
    Check("templates", "a row of every shape of every dataset through the chat template of every model that learns it", _templates),
    Check("prompts", "every probe through the chat template, with room for an answer", _prompts),
    Check("languages", "whether the judges know the language of the probes", _languages),
    Check("capability", "every task with its items", _capability),
    Check("room", "checkpoints that will be kept, and the room on the disk", _room),
    Check("trackers", "whether their packages are installed, and their folders can be written to", _trackers),
    Check("keys", "keys of servers that ask for one", _keys),
)
"""All checks, in the order in which they are told."""


def faults_ahead(work: StudyWork) -> list[UserError]:
    """What stands in the way of what is still to be made of a study, all of it.

    Args:
        work: The study and where it works.

    Returns:
        Each with its place and remedy; none twice.
    """
    stumbled: UserError | None = None
    try:
        stages = stages_of(work)
    except UserError as fault:  # the plan itself can't be made: a dataset that can't be read, say
        return list({str(one): one for one in (*_without_plan(work), fault)}.values())
    try:
        missing = [one.stage for one in survey(work, stages) if one.state in (State.MISSING, State.WAITS)]
    except UserError as fault:  # what it stumbled over is found again below, with all else
        missing, stumbled = stages, fault
    ahead = Ahead(work, missing)
    found = [fault for check in CHECKS for fault in check.faults(ahead)]
    if stumbled is not None and not found:
        found = [stumbled]
    return list({str(fault): fault for fault in found}.values())


def _without_plan(work: StudyWork) -> Iterator[UserError]:
    """What is wrong with what a study names, where it is not known which stages need it."""
    study = work.study
    phases = [(study.corpora, phase) for phase in study.sft] + [(study.preferences, phase) for phase in study.preference]
    looks: list[Callable[[], object]] = [partial(_whole_model, work, model) for model in study.models.values()]
    looks += [partial(work.corpus, sets[name], phase.algorithm.kind) for sets, phase in phases for name in phase.data]
    looks.append(lambda: check_languages(study.judges, work.probes, study.probes_in_words))
    for look in looks:
        try:
            look()
        except UserError as fault:
            yield fault


def _whole_model(work: StudyWork, model: Model) -> None:
    check_files(work.base(model)[0])


def check_ahead(work: StudyWork) -> None:
    """Raise what stands in the way, as one message.

    Raises:
        UserError: What `faults_ahead` finds, one a line; of data where all of it is.
    """
    found = faults_ahead(work)
    if len(found) == 1:
        raise found[0]
    if found:
        kind = DataError if all(isinstance(fault, DataError) for fault in found) else UserError
        raise kind("\n  - ".join([f"{len(found)} things stand in the way of this study, and nothing was begun:", *map(str, found)]))
