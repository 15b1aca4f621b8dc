"""How every command names a judge or an engine: a type, or a file with one as a study has it, and ``KEY=VALUE`` on top.

``--judge TYPE|FILE`` goes with ``--set``; any other option, ``--writer`` or ``--auditor`` say, goes with one of its own name, ``--writer-set``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from valuedrift.engines.registry import ENGINES
from valuedrift.judges.registry import JUDGES

if TYPE_CHECKING:
    from valuedrift.engines.registry import EngineConfig
    from valuedrift.judges.registry import JudgeConfig
    from valuedrift.registry import Registry
    from valuedrift.yaml_files import Yaml

DEFAULT_JUDGE = "cross-encoder"
EMBEDDED = "embedded"
"""What stands for the packaged way where a step may be given an engine instead."""

JudgeOption = Annotated[
    str,
    typer.Option(
        "--judge",
        metavar="TYPE|FILE",
        help=f"A type of judge ({', '.join(JUDGES.types())}; cross-encoder is embedded and English; see docs/judges.md), "
        "or a .yaml file, local or s3://, with one judge as it stands in a study.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the judge, e.g. engine.model=embedded:smollm2-135m-instruct; may be repeated. Values by the rules of YAML.",
        show_default=False,
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Of a judge that is trained here: `embedded`, `embedded-2` (of the cross-encoder), or a folder, local or s3://, "
        "made by `judge train --out FOLDER`; short for --set weights=….",
        show_default=False,
    ),
]


AuditorOption = Annotated[
    str | None,
    typer.Option(
        "--auditor",
        metavar="TYPE|FILE",
        help="Another judge, named as for --judge, that audits what the first one selected. Default: none, and the output says that nobody audited.",
        show_default=False,
    ),
]
AuditorSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--auditor-set",
        metavar="KEY=VALUE",
        help="Set a key of the auditor; may be repeated. Values by the rules of YAML.",
        show_default=False,
    ),
]

AuditorShareOption = Annotated[
    float | None,
    typer.Option(
        "--auditor-share",
        help="Share of the pairs that the auditor reads, above 0, 1 at most; what the first judge says of all of them is corrected by it, as in a cascade. "
        "Default: all.",
        show_default=False,
    ),
]


def engine_option(option: str, help: str, otherwise: str, otherwise_is: str) -> Any:
    """An option that names an engine, or a word that stands for none.

    Args:
        option: Its name.
        help: What the engine is for.
        otherwise: The word.
        otherwise_is: What the word means.
    """
    kinds = f"a type of engine ({', '.join(ENGINES.types())}; see docs/engines.md), or a .yaml file, local or s3://, with one engine"
    return typer.Option(option, metavar=f"{otherwise}|TYPE|FILE", help=f"{help}: `{otherwise}` ({otherwise_is}), {kinds}.")


def engine_set_option(option: str) -> Any:
    """The option that sets keys of the engine that another option names."""
    what = option.removeprefix("--").removesuffix("-set")
    text = f"Set a key of the {what}, e.g. model=hf:organisation/name; may be repeated. Values by the rules of YAML."
    return typer.Option(option, metavar="KEY=VALUE", help=text, show_default=False)


def judge_config(
    judge: str = DEFAULT_JUDGE, settings: Sequence[str] | None = None, weights: str | None = None, *, option: str = "--judge"
) -> JudgeConfig:
    """The judge that the options name, with what it needs from a bucket on this machine.

    Args:
        judge: See `named_judge`.
        settings: See there.
        weights: See there.
        option: The option that names it, for errors; where it is another than ``--judge``, its keys are set by ``OPTION-set``.

    Raises:
        UserError: See `named_judge`; or what it needs is not where it says.
    """
    from valuedrift.tasks.sources import brought

    return named_judge(judge, settings, weights, option=option).with_paths(brought)


def named_judge(
    judge: str = DEFAULT_JUDGE, settings: Sequence[str] | None = None, weights: str | None = None, *, option: str = "--judge"
) -> JudgeConfig:
    """The judge that the options name, in their words.

    Args:
        judge: A type, or a .yaml file, local or s3://; relative paths in it are taken from what it lies in.
        settings: ``KEY=VALUE`` each; dots in a key lead into nested ones; they win over the file.
        weights: Value of ``--weights``.
        option: See `judge_config`.

    Raises:
        UserError: No such type, file or key (with the nearest), or a value that is not valid.
    """
    _no_weights(judge, option)
    keys = [*(settings or ()), *([f"weights={weights}"] if weights is not None else [])]
    named: JudgeConfig = _named(JUDGES, judge, keys, option, "--set" if option == "--judge" else f"{option}-set")
    return named


def auditor_config(auditor: str | None, settings: Sequence[str] | None) -> JudgeConfig | None:
    """The judge that ``--auditor`` names, with what it needs from a bucket on this machine; None where it is not given.

    Raises:
        UserError: See `named_judge`; or settings without an auditor.
    """
    from valuedrift.errors import UserError
    from valuedrift.tasks.sources import brought

    if auditor is None:
        if settings:
            raise UserError("there is no auditor to set keys of", where="--auditor-set", fix="name one with --auditor")
        return None
    _no_weights(auditor, "--auditor")
    named: JudgeConfig = _named(JUDGES, auditor, settings or (), "--auditor", "--auditor-set").with_paths(brought)
    return named


def _no_weights(judge: str, option: str) -> None:
    """Tell who takes packaged weights for a judge what they are weights of."""
    from valuedrift.errors import UserError
    from valuedrift.judges.network.weights import CROSS_ENCODER

    if judge in CROSS_ENCODER.packaged and not Path(judge).is_file():
        fix = f"cross-encoder with the key weights={judge}, or a .yaml file: {{type: cross-encoder, weights: {judge}}}"
        raise UserError(f"{judge!r} names weights, not a type of judge", where=f"{option} {judge}", fix=fix)


def engine_config(given: str, settings: Sequence[str] | None, option: str, otherwise: str = EMBEDDED) -> EngineConfig | None:
    """The engine that the options name, with what it needs from a bucket on this machine; None for the word that stands for none.

    Args:
        given: The word, a type, or a .yaml file, local or s3://; relative paths in it are taken from what it lies in.
        settings: ``KEY=VALUE`` each; they win over the file.
        option: Name of the option.
        otherwise: The word.

    Raises:
        UserError: No such type, file or key (with the nearest), or a value that is not valid.
    """
    from valuedrift.errors import UserError
    from valuedrift.tasks.sources import brought

    if given == otherwise:
        if settings:
            raise UserError(f"{otherwise!r} has no settings", where=f"{option}-set", fix=f"name an engine with {option}")
        return None
    engine: EngineConfig = _named(ENGINES, given, settings or (), option, f"{option}-set")
    return engine.anchored(Path.cwd()).with_paths(brought)


def _named(registry: Registry[Any], given: str, settings: Sequence[str], option: str, set_option: str) -> Any:
    """One of a registry by its type or file, with keys set."""
    from pydantic import TypeAdapter, ValidationError

    from valuedrift.errors import UserError
    from valuedrift.faults import describe
    from valuedrift.references import folder_of
    from valuedrift.yaml_files import untrue_numbers

    adapter: TypeAdapter[Any] = TypeAdapter(registry.annotation)
    from_file = given not in registry.types() and (given.endswith((".yaml", ".yml")) or "/" in given or Path(given).is_file())
    where = f"{option} {given}"
    try:
        content: dict[str, Any] = {"type": given}
        if from_file:  # paths in the file belong to its folder, those on the command line to where it is typed
            found = _keys_in(given, registry.what).valid(registry.annotation)
            content = found.anchored(folder_of(given)).model_dump(mode="json", exclude_unset=True)
        for setting in settings:
            put_key(content, setting, set_option)
            where = f"{option} {given} with {set_option}"
        made = adapter.validate_python(content)
    except ValidationError as error:
        raise UserError(describe(error, registry.annotation), where=where) from error
    for path, message in untrue_numbers(content, made):
        raise UserError(f"`{'.'.join(path)}`: {message}", where=where)
    return made


def _keys_in(address: str, what: str) -> Yaml:
    """The keys and values of a .yaml file that describes one thing as a study file does.

    Raises:
        UserError: No such file, or none with keys and values.
    """
    from valuedrift.errors import UserError
    from valuedrift.storage.fetching import at_hand
    from valuedrift.yaml_files import read_yaml

    try:
        with at_hand(address) as path:
            written = read_yaml(path, address)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"no such {what} file", where=address, fix=f"a .yaml file with one {what}, or a type of {what}") from error
    if not isinstance(written.content, dict):
        raise UserError(f"not a {what}: expected keys and values", where=address, fix=f"one {what} as it stands in a study: type, …")
    return written


def put_key(content: dict[str, Any], setting: str, option: str) -> None:
    """Set one key; dots in it lead into nested mappings, which are made as needed; its value is read by the rules of YAML.

    Raises:
        UserError: The setting is not ``KEY=VALUE``.
    """
    from valuedrift.errors import UserError
    from valuedrift.yaml_files import parse_yaml

    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"not KEY=VALUE: {setting!r}", where=option, fix=f"e.g. {option} model=NAME")
    value = parse_yaml(text, f"{option} {key}").content if text.strip() else text
    for part in parts[:-1]:
        inner = content.get(part)
        content[part] = dict(inner) if isinstance(inner, dict) else {}
        content = content[part]
    content[parts[-1]] = value
