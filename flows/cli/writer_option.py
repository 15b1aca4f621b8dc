"""How a command names who writes: ``starter``, a type of engine, or a .yaml file with one engine; ``--writer-set KEY=VALUE`` on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from valuedrift.flows.cli.keys import put_key, read_mapping

if TYPE_CHECKING:
    from valuedrift.engines.registry import EngineConfig


def writer_config(writer: str, settings: Sequence[str] | None = None) -> EngineConfig | None:
    """The engine that the options name, with what it needs from a bucket on this machine; None for the packaged answers.

    Args:
        writer: ``starter``, a type (transformers, vllm, openai), or a .yaml file, local or s3://; relative paths in it are taken from what it lies in.
        settings: ``KEY=VALUE`` each; they win over the file.

    Raises:
        UserError: No such type, file or key (with the nearest), or a value that is not valid.
    """
    from pydantic import TypeAdapter, ValidationError

    from valuedrift.engines.registry import EngineConfig
    from valuedrift.errors import UserError
    from valuedrift.faults import describe
    from valuedrift.references import folder_of
    from valuedrift.synthesis.config import STARTER_WRITER
    from valuedrift.tasks.sources import brought

    if writer == STARTER_WRITER:
        if settings:
            raise UserError("the packaged answers have no settings", where="--writer-set", fix="name an engine with --writer")
        return None
    from_file = writer.endswith((".yaml", ".yml"))
    content = read_mapping(writer, "writer") if from_file else {"type": writer}
    adapter: TypeAdapter[EngineConfig] = TypeAdapter(EngineConfig)
    try:
        if from_file:
            content = adapter.validate_python(content).anchored(folder_of(writer)).model_dump(mode="json")
        for setting in settings or ():
            put_key(content, setting, "--writer-set")
        return adapter.validate_python(content).anchored(Path.cwd()).with_paths(brought)
    except ValidationError as error:
        raise UserError(describe(error, EngineConfig), where=f"--writer {writer}") from error
