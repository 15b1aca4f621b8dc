"""``valuedrift sample``: models' answers to probes as one table, without a study; ``judge run`` and ``analyze`` go on from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from valuedrift.engines.registry import ENGINES
from valuedrift.flows.cli.app import app, parquet_bytes, target
from valuedrift.flows.cli.console import progress_bar
from valuedrift.flows.cli.naming import engine_config, put_key
from valuedrift.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valuedrift.engines.base import EngineBase
    from valuedrift.probes import Probe
    from valuedrift.sampling import Sampling
    from valuedrift.tasks.sampled import Asked

_WHY = {"length": "cut off at the limit of tokens (--set max_new_tokens=…)", "failed": "the server gave none"}
"""What is said of answers that did not end by themselves, by their finish_reason."""


@app.command("sample")
def sample(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Checkpoints: folders, local or s3://, also of adapters, `embedded:NAME`, `hf:ORG/NAME@REVISION`; names of models with --engine openai.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", help="Parquet to write, local or s3://: id, run_id, step, topic, probe_set, prompt_id, sample_idx, prompt, response, …"
        ),
    ],
    probes: Annotated[
        list[str] | None,
        typer.Option("--probes", help="A probe set, `starter` or a file, local or s3://; may be repeated.", show_default="starter"),
    ] = None,
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="A topic that is asked about; may be repeated.", show_default="all")
    ] = None,
    per_topic: Annotated[int | None, typer.Option("--per-topic", min=1, help="Probes a topic.", show_default="all")] = None,
    run_id: Annotated[str, typer.Option("--run", help="Name of the run in the table.")] = "sampled",
    steps: Annotated[
        list[int] | None,
        typer.Option(
            "--step",
            min=0,
            help="Step of each MODEL, in their order.",
            show_default="the number in its name: checkpoint-500; of one model without: 0",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A key of `sampling` as in a study, e.g. n=5, max_new_tokens=48, temperature=0.7; may be repeated.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="TYPE|FILE",
            help=f"Who draws: {', '.join(ENGINES.types())}, or a .yaml file, local or s3://, with one engine.",
        ),
    ] = "transformers",
    engine_settings: Annotated[
        list[str] | None,
        typer.Option(
            "--engine-set",
            metavar="KEY=VALUE",
            help="A key of the engine, e.g. dtype=float32 or base_url=http://…; may be repeated.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all cores")] = None,
) -> None:
    """Draw models' answers to probes; written whole or not at all. The draws are those of a study with the same weights, probes and sampling."""
    from valuedrift.tasks.sampled import check_asked, sampled

    place = target(out, "--out", ".parquet")
    drawing = _sampling(settings)
    asking = _engine(engine, engine_settings or (), models[0])
    check_asked(asking, drawing)
    asked = _asked(models, steps)
    questions = _probes(probes or ["starter"], topics, per_topic)
    total = len(asked) * len(questions) * drawing.n
    with progress_bar("sampling", total) as progress:
        frame = sampled(asked, questions, asking, drawing, run_id=run_id, threads=threads, progress=progress)
    place.put_bytes(parquet_bytes(frame))
    console = Console(emoji=False)
    said = f"{counted(frame.height, 'answer')} of {counted(len(asked), 'checkpoint')} to {counted(len(questions), 'probe')}, written to {escape(out)}"
    console.print(said, highlight=False, soft_wrap=True)
    for reason, count in frame.get_column("finish_reason").value_counts(sort=True).iter_rows():
        if reason != "stop":
            console.print(f"{counted(count, 'answer')}: {_WHY[reason]}", highlight=False, soft_wrap=True)
    console.print(f"next: valuedrift judge run {escape(out)} --out stances.parquet", highlight=False, soft_wrap=True)


def _sampling(settings: Sequence[str] | None) -> Sampling:
    """How answers are drawn, by defaults and what is set.

    Raises:
        UserError: No such key (with the nearest), or a value that is not valid.
    """
    from pydantic import ValidationError

    from valuedrift.errors import UserError
    from valuedrift.faults import describe
    from valuedrift.sampling import Sampling
    from valuedrift.tasks.sources import with_template

    content: dict[str, Any] = {}
    for setting in settings or ():
        put_key(content, setting, "--set")
    try:
        return with_template(Sampling.model_validate(content))
    except ValidationError as error:
        raise UserError(describe(error, Sampling), where="--set") from error


def _engine(given: str, settings: Sequence[str], model: str) -> EngineBase:
    """Who draws, with the first of the models that it will be asked for.

    Raises:
        UserError: See `engine_config`; or the engine's keys name a model.
    """
    from valuedrift.errors import UserError

    if any(setting.partition("=")[0].strip() == "model" for setting in settings):
        raise UserError("the model is the command's argument", where="--engine-set model", fix="valuedrift sample MODEL …")
    engine = engine_config(given, [*settings, f"model={json.dumps(model)}"], "--engine", otherwise="")
    assert engine is not None
    return engine


def _asked(models: Sequence[str], steps: Sequence[int] | None) -> list[Asked]:
    """Each model with its step, brought here where it lies in a bucket.

    Raises:
        UserError: Steps that are not one a model, that nothing tells, or that are given twice.
    """
    from valuedrift.errors import UserError
    from valuedrift.tasks.sampled import Asked
    from valuedrift.tasks.sources import brought

    if steps and len(steps) != len(models):
        raise UserError(
            f"{counted(len(steps), 'step')} for {counted(len(models), 'model')}", where="--step", fix="one for each MODEL, in their order"
        )
    told = list(steps) if steps else [_named_step(model) for model in models]
    if len(models) == 1 and told[0] is None:
        told = [0]
    of_step: dict[int, str] = {}
    for model, step in zip(models, told, strict=True):
        what = "nothing tells its step" if step is None else f"step {step}, as {of_step[step]}" if step in of_step else None
        if step is None or what is not None:
            raise UserError(str(what), where=f"MODEL {model}", fix="--step N for each MODEL, in their order")
        of_step[step] = model
    return [Asked(brought(model), step) for step, model in of_step.items()]


def _named_step(model: str) -> int | None:
    """What the last part of a path or the revision of a name says; names of models have numbers of their own."""
    from valuedrift.models.resolve import is_named
    from valuedrift.watching.checkpoints import step_of

    if is_named(model):
        revision = model.partition("@")[2]
        return step_of(revision) if revision else None
    return step_of(model.rstrip("/").rpartition("/")[2], Path(model) if Path(model).is_dir() else None)


def _probes(sets: Sequence[str], topics: Sequence[str] | None, per_topic: int | None) -> list[Probe]:
    from valuedrift.probes import together
    from valuedrift.tasks.sources import probes_of

    return together([probes_of(name, topics=topics, per_topic=per_topic) for name in sets])
