"""Every kind of engine: a file each, entered here by one line. Light to import, because the planner reads it.

A kind is a class made from :class:`valuedrift.engines.base.LocalEngine`, or from ``RemoteEngine`` where it holds no weights, with a ``type`` of its own; see
:mod:`valuedrift.registry` for engines of other packages.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from valuedrift.engines.base import DEFAULT_DTYPE, Engine, EngineBase, EngineSettings, LocalEngine, RemoteEngine
from valuedrift.errors import UserError
from valuedrift.registry import Registry
from valuedrift.sampling import Sampling
from valuedrift.weights import Weights

ENGINES: Registry[EngineBase] = Registry(
    "engine",
    EngineBase,
    {
        "transformers": "valuedrift.engines.transformers:TransformersEngineConfig",
        "vllm": "valuedrift.engines.vllm:VllmEngineConfig",
        "openai": "valuedrift.engines.openai:OpenAIEngineConfig",
    },
    group="valuedrift.engines",
)

EngineConfig: TypeAlias = Annotated[EngineBase, ENGINES.by_type()]
"""Every kind of engine, with its model."""

LocalEngineConfig: TypeAlias = Annotated[LocalEngine, ENGINES.by_type(LocalEngine)]
"""Engines that hold their model, and can tell the log-probability of any continuation."""

RemoteEngineConfig: TypeAlias = Annotated[RemoteEngine, ENGINES.by_type(RemoteEngine)]
"""Engines that ask for a model by its name."""


def make_engine(name: str, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
    """Build an engine for one checkpoint.

    Args:
        name: Type of an engine that holds weights: ``transformers``, ``vllm`` or one of your own.
        weights: The model at one checkpoint.
        fingerprint: Of the weights; draws are seeded by it.
        settings: Dtype and runtime.

    Raises:
        UserError: No such engine, or it cannot be set up.
    """
    return local_engine(name).at(weights, fingerprint, settings)


def engine_identity(name: str, *, dtype: str = DEFAULT_DTYPE) -> dict[str, Any]:
    """What of an engine that holds weights can change a draw, for cache keys; see :meth:`LocalEngine.drawing_identity`.

    Raises:
        UserError: No such engine.
    """
    return local_engine(name).drawing_identity(dtype)


def check_rendering(engine: str | RemoteEngine, sampling: Sampling) -> None:
    """Refuse what a sampling says of how questions are put and an engine does not heed.

    Args:
        engine: Type of one that holds weights, or one that asks for its model.
        sampling: How questions are put and answers drawn.

    Raises:
        ValueError: Names the key.
    """
    said = sampling.rendering
    if not said:
        return
    kind = local_engine(engine) if isinstance(engine, str) else type(engine)
    for name in said:
        if name not in kind.renders:
            heeded = " and ".join(f"`{one}`" for one in sorted(kind.renders)) or "none of these keys"
            raise ValueError(f"`sampling.{name}`: the engine {kind.model_fields['type'].default} does not heed it; it heeds {heeded}")
    if not isinstance(engine, str):
        engine.check_sampling(sampling)


def local_engine(name: str) -> type[LocalEngine]:
    """An engine that holds weights, by its type.

    Raises:
        UserError: No such engine, or it holds none.
    """
    kind = ENGINES.kind(name)
    if not issubclass(kind, LocalEngine):
        raise UserError(f"the engine {name!r} holds no weights of this machine", fix=f"one of {', '.join(ENGINES.types(LocalEngine))}")
    return kind
