"""Answers of models to probes outside of a study: one table for ``judge run`` and ``analyze``. One process holds the engine from checkpoint to checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from valuedrift.engines.base import Engine, EngineBase, EngineSettings, LocalEngine, RemoteEngine
from valuedrift.engines.job import without_thought
from valuedrift.engines.kept import KEPT
from valuedrift.engines.registry import check_rendering
from valuedrift.errors import UserError
from valuedrift.models.resolve import resolve_weights
from valuedrift.probes import Probe, asked_ids
from valuedrift.progress import Progress
from valuedrift.sampling import Response, Sampling

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Asked:
    """A model that is to answer.

    Attributes:
        model: A folder, ``embedded:NAME``, ``hf:ORG/NAME@REVISION``, or the name that a server has for it.
        step: Its checkpoint, for the table.
    """

    model: str
    step: int


def check_asked(engine: EngineBase, sampling: Sampling) -> None:
    """Refuse what the engine would not heed, before anything is loaded.

    Raises:
        UserError: Names the key.
    """
    try:
        check_rendering(engine if isinstance(engine, RemoteEngine) else engine.type, sampling)
    except ValueError as error:
        raise UserError(str(error), where="--set") from error


def sampled(
    models: Sequence[Asked],
    probes: Sequence[Probe],
    engine: EngineBase,
    sampling: Sampling,
    *,
    run_id: str,
    threads: int | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> pl.DataFrame:
    """Answers of every model to every probe, the very draws that a study with the same weights, probes and sampling makes.

    Args:
        models: Who is asked, in this order.
        probes: What is asked; of several sets together as :func:`valuedrift.probes.together` makes them.
        engine: Kind of engine with its keys; its own model does not matter.
        sampling: How answers are drawn.
        run_id: Name of the run in the table.
        threads: CPU threads; default: torch's.
        progress: Told how many answers are drawn, of all models.

    Returns:
        A row an answer: id (unique), run_id, step, topic, probe_set, prompt_id, polarity, pair_id, sample_idx, prompt, response, finish_reason, n_tokens,
        reasoning, model; by model, probe and sample_idx.

    Raises:
        UserError: A model that is missing or cannot be loaded; see :meth:`valuedrift.engines.base.Engine.sample`.
    """
    import polars as pl

    names = asked_ids(probes)
    questions = [replace(probe.asked, prompt_id=name) for probe, name in zip(probes, names, strict=True)]
    of_name = dict(zip(names, probes, strict=True))
    each = len(questions) * sampling.n
    rows = []

    def tell(before: int, step: int, done: int, _: int) -> None:
        progress(Progress(before + done, len(models) * each, f"step {step}"))

    try:
        for place, asked in enumerate(models):
            drawing = partial(tell, place * each, asked.step)
            drawing(0, each)
            with _holding(engine, asked.model, threads) as ready:
                drawn = ready.sample(questions, sampling, drawing)
            rows += [_row(run_id, asked, of_name[one.prompt_id], without_thought(one, sampling)) for one in drawn]
    finally:
        KEPT.let_go()
    kinds = {"polarity": pl.Int8, "sample_idx": pl.Int32, "n_tokens": pl.Int32, "reasoning": pl.String}
    return pl.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)


@contextmanager
def _holding(engine: EngineBase, model: str, threads: int | None) -> Iterator[Engine]:
    """The engine with a model, gone on from the one before where that can be."""
    if isinstance(engine, LocalEngine):
        weights = resolve_weights(model)
        settings = EngineSettings(dtype=engine.dtype, threads=threads)
        with KEPT.at(engine.type, weights, weights.fingerprint(), settings) as ready:
            yield ready
    else:
        assert isinstance(engine, RemoteEngine)
        with engine.naming(model).open() as ready:
            yield ready


def _row(run_id: str, asked: Asked, probe: Probe, answer: Response) -> dict[str, object]:
    return {
        "id": f"{run_id}/{asked.step}/{probe.probe_set}/{probe.prompt_id}/{answer.sample_idx}",
        "run_id": run_id,
        "step": asked.step,
        "topic": probe.topic,
        "probe_set": probe.probe_set,
        "prompt_id": probe.prompt_id,
        "polarity": probe.polarity,
        "pair_id": probe.pair_id,
        "sample_idx": answer.sample_idx,
        "prompt": probe.prompt,
        "response": answer.response,
        "finish_reason": answer.finish_reason,
        "n_tokens": answer.n_tokens,
        "reasoning": answer.reasoning,
        "model": asked.model,
    }
