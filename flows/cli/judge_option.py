"""How every command names a judge: ``--judge TYPE``, or ``--judge FILE.yaml`` with one judge as a study file has it, and ``--set KEY=VALUE`` on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from valuedrift.flows.cli.keys import put_key, read_mapping
from valuedrift.judges.registry import JUDGES

if TYPE_CHECKING:
    from valuedrift.judges.registry import JudgeConfig

DEFAULT_JUDGE = "cross-encoder"

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
        help="Of the cross-encoder: `embedded`, or a folder, local or s3://, made by `valuedrift judge train --out FOLDER`; short for --set weights=….",
        show_default=False,
    ),
]


def judge_config(judge: str = DEFAULT_JUDGE, settings: Sequence[str] | None = None, weights: str | None = None) -> JudgeConfig:
    """The judge that the options name, with what it needs from a bucket on this machine.

    Raises:
        UserError: See `named_judge`; or what it needs is not where it says.
    """
    from valuedrift.tasks.sources import brought

    return named_judge(judge, settings, weights).with_paths(brought)


def named_judge(judge: str = DEFAULT_JUDGE, settings: Sequence[str] | None = None, weights: str | None = None) -> JudgeConfig:
    """The judge that the options name, in their words.

    Args:
        judge: A type, or a .yaml file, local or s3://; relative paths in it are taken from what it lies in.
        settings: ``KEY=VALUE`` each; dots in a key lead into nested ones; they win over the file.
        weights: Value of ``--weights``.

    Raises:
        UserError: No such type, file or key (with the nearest), or a value that is not valid.
    """
    from pydantic import ValidationError

    from valuedrift.errors import UserError
    from valuedrift.faults import describe
    from valuedrift.judges.registry import JUDGE, JudgeConfig
    from valuedrift.references import folder_of

    from_file = judge.endswith((".yaml", ".yml"))
    content = read_mapping(judge, "judge") if from_file else {"type": judge}
    where = judge if from_file else "--judge"
    try:
        if from_file:  # paths in the file belong to its folder, those on the command line to where it is typed
            content = JUDGE.validate_python(content).anchored(folder_of(judge)).model_dump(mode="json", exclude_unset=True)
        for setting in [*(settings or ()), *([f"weights={weights}"] if weights is not None else [])]:
            put_key(content, setting, "--set")
            where = "--set" if from_file is False else f"{judge} with --set"
        return JUDGE.validate_python(content)
    except ValidationError as error:
        raise UserError(describe(error, JudgeConfig), where=where) from error
