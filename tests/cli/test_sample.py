"""``valuedrift sample``: what checkpoints answer, as a table that ``judge run`` and ``analyze`` go on from."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # untied
from untied import save_untied

import valuedrift.flows.cli.analyze
import valuedrift.flows.cli.judge
import valuedrift.flows.cli.sample  # noqa: F401  # enter the commands
from valuedrift.engines.base import EngineSettings
from valuedrift.engines.transformers import TransformersEngine
from valuedrift.errors import UserError
from valuedrift.flows.cli.app import app
from valuedrift.probes import load_probes
from valuedrift.sampling import Sampling
from valuedrift.weights import Weights

SHORT = ("--topic", "religion", "--per-topic", "2", "--set", "n=3", "--set", "max_new_tokens=8", "--threads", "1")


def run(*arguments: str) -> Result:
    """A command that succeeds, or the error that its user is shown."""
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two tiny random models, named as a trainer names its checkpoints."""
    here = tmp_path_factory.mktemp("trained")
    return [str(save_untied(here / f"checkpoint-{step}", seed=step)) for step in (10, 20)]


@pytest.fixture(scope="module")
def answers(checkpoints: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both answered."""
    out = tmp_path_factory.mktemp("answers") / "answers.parquet"
    done = run("sample", *checkpoints, *SHORT, "--out", str(out))
    assert "12 answers of 2 checkpoints to 2 probes" in done.output
    return out


def test_the_draws_are_those_of_an_engine_that_is_asked_for_one_checkpoint(checkpoints: list[str], answers: Path) -> None:
    frame = pl.read_parquet(answers)
    probes = load_probes("starter", topics=["religion"], per_topic=2)
    for folder, step in zip(checkpoints, (10, 20), strict=True):
        weights = Weights(base=Path(folder))
        with TransformersEngine(weights, weights.fingerprint(), EngineSettings(threads=1)) as engine:
            drawn = engine.sample([probe.asked for probe in probes], Sampling(n=3, max_new_tokens=8))
        mine = frame.filter(pl.col("step") == step)
        assert mine.select("prompt_id", "sample_idx", "response").rows() == [(a.prompt_id, a.sample_idx, a.response) for a in drawn]
    assert frame.get_column("id").is_unique().all()
    assert frame.group_by("step").agg(pl.col("response").str.join()).get_column("response").n_unique() == 2


def test_it_chains_into_judge_run_and_analyze(answers: Path, tmp_path: Path) -> None:
    stances, drift = tmp_path / "stances.parquet", tmp_path / "drift.parquet"
    run("judge", "run", str(answers), "--out", str(stances), "--threads", "1")
    judged = pl.read_parquet(stances)
    kept = ("id", "run_id", "step", "topic", "probe_set", "prompt_id", "polarity", "pair_id", "sample_idx")
    assert judged.select(kept).equals(pl.read_parquet(answers).select(kept).cast({"sample_idx": pl.Int64, "polarity": pl.Int64}))
    assert not {"prompt", "response"} & set(judged.columns)
    written = judged.with_columns(p_support=pl.lit(0.2), p_neutral=pl.lit(0.3), p_oppose=pl.lit(0.5), status=pl.lit("ok"))
    written.write_parquet(stances)  # what a random model says has no stance to speak of
    run("analyze", str(stances), "--out", str(drift))
    assert pl.read_parquet(drift).select("run_id", "from_step", "to_step").unique().rows() == [("sampled", 10, 20)]


def test_numbers_of_a_csv_are_numbers_where_all_are(answers: Path, tmp_path: Path) -> None:
    from valuedrift.judges.frames import read_answers

    pl.read_parquet(answers).write_csv(tmp_path / "a.csv")
    assert read_answers(tmp_path / "a.csv").get_column("step").to_list() == [10] * 6 + [20] * 6
    pl.DataFrame({"prompt": ["p", "q"], "response": ["r", "s"], "step": ["1", "last"]}).write_csv(tmp_path / "b.csv")
    assert read_answers(tmp_path / "b.csv").get_column("step").to_list() == ["1", "last"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "--out", "a.csv"], "written as Parquet"),
        (["MODEL", "--set", "temprature=1"], "temprature"),
        (["MODEL", "--set", "n=0"], "n"),
        (["MODEL", "--engine-set", "model=x"], "the model is the command's argument"),
        (["MODEL", "--engine", "nobody"], "nobody"),
        (["MODEL", "--topic", "religon"], "did you mean 'religion'"),
        (["MODEL", "--probes", "absent.jsonl"], "absent.jsonl"),
        (["MODEL", "MODEL"], "step 10, as"),
        (["MODEL", "OTHER", "--step", "1"], "1 step for 2 models"),
        (["embedded:smollm2-135m-instruct", "MODEL"], "nothing tells its step"),
        (["nowhere/checkpoint-3"], "nowhere/checkpoint-3"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(arguments: list[str], message: str, checkpoints: list[str], tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    given = [{"MODEL": checkpoints[0], "OTHER": checkpoints[1]}.get(word, word) for word in arguments]
    with pytest.raises(UserError, match=message):
        run("sample", *given, *([] if "--out" in given else ["--out", str(out)]))
    assert not out.exists()
