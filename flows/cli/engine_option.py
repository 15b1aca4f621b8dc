"""How a command names the model of a step: ``embedded``, or a .yaml file, local or s3://, with one engine as a study has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valuedrift.engines.registry import EngineConfig

EMBEDDED = "embedded"


def engine_config(given: str, option: str) -> EngineConfig | None:
    """The engine that an option names, with what it needs from a bucket on this machine; None for ``embedded``.

    Args:
        given: The option's value; relative paths in the file are taken from what it lies in.
        option: Its name, for errors.

    Raises:
        UserError: No such file, or not an engine.
    """
    import yaml
    from pydantic import TypeAdapter, ValidationError

    from valuedrift.engines.registry import EngineConfig
    from valuedrift.errors import UserError
    from valuedrift.faults import describe
    from valuedrift.references import folder_of
    from valuedrift.storage.fetching import at_hand
    from valuedrift.tasks.sources import brought

    if given == EMBEDDED:
        return None
    fix = "`embedded`, or a .yaml file with an engine: type (transformers, vllm, openai), model, …"
    try:
        with at_hand(given) as path:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"no such engine file {given!r}", where=option, fix=fix) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"not valid YAML: {str(error).splitlines()[0]}", where=given, fix=fix) from error
    adapter: TypeAdapter[EngineConfig] = TypeAdapter(EngineConfig)
    try:
        return adapter.validate_python(content).anchored(folder_of(given)).with_paths(brought)
    except ValidationError as error:
        raise UserError(describe(error, EngineConfig), where=given, fix=fix) from error
