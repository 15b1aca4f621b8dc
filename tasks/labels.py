"""Labels of a study's answers in the store: draw, keep, and hold against what its judges say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.labels.draw import VERSION, draw
from valuedrift.labels.people import ANSWER, settled
from valuedrift.labels.sheet import read_sheet
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus
from valuedrift.storage.part import Part
from valuedrift.storage.store import Store
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.once import once
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.work import Work

_ROW = ("run_id", "step", "probe_set", "prompt_id", "sample_idx")
_YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a sheet that was read.

    Attributes:
        read: Labels in it.
        new: Those of them that this labeller had not given before.
        changed: Those that were others before.
        empty: Rows without a stance.
        absent: Answers of the same draw that the sheet does not have.
    """

    read: int
    new: int
    changed: int
    empty: int
    absent: int


def study_name(store: Store, study: str) -> str:
    """The name of a study that has tables.

    Args:
        store: Where they lie.
        study: A study file, or the name itself.

    Raises:
        UserError: There is no such file, no such root, or no such study under it.
    """
    name = study
    if study.endswith(_YAML):
        from valuedrift.tasks.sources import study_of

        name = study_of(study).study
    known = store.readable().studies()  # only now: a study file that is not there is told first
    if name not in known:
        raise UserError(f"there is no study {name!r}", where=store.root.uri, fix=f"studies are {', '.join(known) or 'none yet'}")
    return name


def judge_name(store: Store, study: str, judge: str | None) -> str:
    """A judge that has judged a study: the one that is named, or the only one.

    Raises:
        UserError: There is none of this name, or several and none is named.
    """
    names = sorted({entry.slot for entry in store.entries("stances", study)})
    if not names:
        raise UserError("nothing is judged yet", where=f"study {study}", fix="valuedrift run STUDY")
    if judge is None and len(names) > 1:
        raise UserError("several judges have judged this study", where=f"study {study}", fix=f"--judge with one of {', '.join(names)}")
    if judge is not None and judge not in names:
        sample = store.read("cascade_sample", study=study)
        by = sorted(set(sample.filter(pl.col("strong") == judge)["judge"]))
        if by:
            what = f"judge {judge!r} has read nothing of this study but the sample of cascade {by[0]!r}"
            raise UserError(
                what, where=f"study {study}", fix=f"--judge {by[0]}: where {judge} has read an answer, it has that judge's stance"
            )
        raise UserError(f"no judge {judge!r} has judged this study", where=f"study {study}", fix=f"judges: {', '.join(names)}")
    return judge or names[0]


def draw_labels(store: Store, study: str, judge: str, n: int, seed: int) -> pl.DataFrame:
    """Draw answers of the first and last checkpoint of every run for people to label, and keep the draw with its probabilities.

    Args:
        store: Where the tables lie.
        study: Its name.
        judge: The judge over whose stances the draw is balanced.
        n: Answers.
        seed: For another draw.

    Returns:
        The rows of label_draws; the same call on the same stances gives the same.

    Raises:
        UserError: There are no answers, or the questions are not in the table probes.
    """
    answers = _ends(_judged(store, study, judge))
    if not answers.height:
        raise UserError("no judged answers", where=f"study {study}", fix="the tables stances and responses must have the same answers")
    prompts = store.read("probes").select("probe_set", "prompt_id", "prompt")
    lost = answers.join(prompts, on=["probe_set", "prompt_id"], how="anti")
    if lost.height:
        raise UserError(
            f"the question of prompt {lost['prompt_id'][0]!r} is not in the table probes",
            where=f"probe set {lost['probe_set'][0]}",
            fix="valuedrift tables import --table probes",
        )
    stage = _draw_stage(store, study, judge, n, seed, answers, prompts)
    once(Work(store.root.uri, Runtime()), stage, ())
    return store.read("label_draws", study=study, draw=stage.result.slot)


def _draw_stage(store: Store, study: str, judge: str, n: int, seed: int, answers: pl.DataFrame, prompts: pl.DataFrame) -> Stage:
    """The stage that draws answers for people to label."""
    made_of = [entry.key for table in ("stances", "responses") for entry in store.entries(table, study) if entry.slot in ("", judge)]
    identity = {
        "stage": "label draw",
        "version": VERSION,
        "study": study,
        "judge": judge,
        "n": n,
        "seed": seed,
        "made_of": sorted(made_of),
    }
    key = fingerprint(identity)

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        drawn = draw(answers, n, key=key, seed=seed).join(prompts, on=["probe_set", "prompt_id"], maintain_order="left")
        return {"label_draws": drawn.with_columns(draw=pl.lit(key), judge=pl.lit(judge))}

    return Stage("label draw", Address(("label_draws",), {"study": study}, key), (), lambda _: identity, make)


def keep_labels(store: Store, study: str, sheet: Path, labeller: str) -> Kept:
    """Read a sheet and keep its labels; what this labeller said before of the same answers is replaced, the rest stays.

    Raises:
        UserError: Nothing was drawn yet, or the file is not there.
        DataError: A row is wrong; nothing is kept then.
    """
    draws = store.read("label_draws", study=study)
    if not draws.height:
        raise UserError("no answers were drawn for labelling", where=f"study {study}", fix="valuedrift labels draw STUDY --out labels.csv")
    filled = read_sheet(sheet, draws["label_id"])
    given = filled.labels.join(draws.select("draw", "label_id"), on="label_id").with_columns(labeller=pl.lit(labeller), study=pl.lit(study))
    before = store.read("labels", study=study, labeller=labeller)
    parts = []
    for (name,), rows in given.group_by("draw", maintain_order=True):
        older = before.filter(pl.col("draw") == name)
        frame = (
            pl.concat([rows.select(older.columns), older]).unique(["draw", "label_id"], keep="first", maintain_order=True).sort("label_id")
        )
        content = {"stage": "labels", "labeller": labeller, "draw": str(name), "labels": frame.select("label_id", "stance").rows()}
        parts.append(
            Part(
                "labels",
                frame,
                {"study": study},
                fingerprint(content),
                {"labeller": labeller, "draw": str(name)},
                slot=f"{name}/{labeller}",
            )
        )
    if parts:
        store.put_all(parts)
    both = given.join(before, on=["draw", "label_id"], suffix="_before")
    changed = both.filter(pl.col("stance") != pl.col("stance_before")).height
    asked = draws.filter(pl.col("draw").is_in(draws.filter(pl.col("label_id").is_in(list(filled.seen)))["draw"].unique().to_list()))
    return Kept(given.height, given.height - both.height, changed, filled.empty, len(set(asked["label_id"]) - filled.seen))


def labelled(store: Store, study: str) -> pl.DataFrame:
    """The study's labelled answers; see `valuedrift.labels.people.settled`."""
    return settled(store.read("label_draws", study=study), store.read("labels", study=study))


def label_keys(store: Store, study: str) -> list[str]:
    """Fingerprints of all that people said of a study's answers, sorted; empty where nothing is labelled."""
    return sorted(entry.key for entry in store.entries("labels", study) if entry.rows)


def labelled_stances(store: Store, study: str, stances: pl.LazyFrame) -> pl.DataFrame:
    """The labelled answers wherever they stand in the study, with what judges say of them.

    Args:
        store: Where the tables lie.
        study: Its name.
        stances: Rows of the table stances.

    Returns:
        Columns of both, ``response``, and ``drawn``: whether it stands at an end of its run, where answers are drawn. Sorted; empty without labels.
    """
    answers = labelled(store, study)
    prompts = answers["prompt_id"].unique().to_list()
    step = pl.col("step")
    ends = (step == step.min().over("run_id")) | (step == step.max().over("run_id"))
    rows = stances.with_columns(drawn=ends).filter(pl.col("prompt_id").is_in(prompts))
    responses = store.scan("responses", study=study).select(*_ROW, "response").filter(pl.col("prompt_id").is_in(prompts))
    found = rows.join(responses, on=_ROW).sort(*_ROW, "judge").collect()
    return found.join(answers.drop("topic"), on=ANSWER, maintain_order="left")


def judged_labels(store: Store, study: str, judge: str) -> pl.DataFrame:
    """The labelled answers once each, as far as they are settled and still in the study, with what a judge of the study says of them.

    Returns:
        Columns of `labelled_stances`, one row an answer.

    Raises:
        UserError: None of the study's answers is labelled, or the judge has judged none of those that are.
    """
    if not labelled(store, study).height:
        raise UserError(
            "no answers are labelled", where=f"study {study}", fix="valuedrift labels draw STUDY, then valuedrift labels add STUDY SHEET"
        )
    found = labelled_stances(store, study, store.scan("stances", study=study, judge=judge)).filter(pl.col("label").is_not_null())
    if not found.height:
        raise UserError("none of the labelled answers is judged", where=f"study {study}, judge {judge}", fix="valuedrift run STUDY")
    return found.unique(ANSWER, keep="first", maintain_order=True)


def judge_fingerprint(store: Store, study: str, judge: str) -> str:
    """Fingerprint of the identity of the judge that a study's stances are of.

    Raises:
        UserError: The stances are of several versions of it, of none that can be calibrated, or calibrated already.
    """
    identities = [entry.identity.get("judge") for entry in store.entries("stances", study) if entry.slot == judge]
    found = {fingerprint(identity): identity for identity in identities if isinstance(identity, dict)}
    where = f"study {study}, judge {judge}"
    if len(found) != 1 or len([one for one in identities if isinstance(one, dict)]) != len(identities):
        raise UserError(
            "its stances are not those of one judge that reads answers itself (a panel, imported, or several versions)",
            where=where,
            fix="calibrate the members of a panel one by one; or use labels as a file: valuedrift labels show STUDY --export gold.jsonl",
        )
    ((key, identity),) = found.items()
    if identity is not None and "calibration" in identity:
        raise UserError("it is calibrated already", where=where, fix="calibrate from a study in which it is judged without calibration")
    return key


def is_calibrated(store: Store, study: str, judge: str) -> bool:
    """Whether stances of a study are of a judge with a calibration."""
    identities = [entry.identity.get("judge") for entry in store.entries("stances", study) if entry.slot == judge]
    return any("calibration" in identity for identity in identities if isinstance(identity, dict))


def _judged(store: Store, study: str, judge: str) -> pl.DataFrame:
    """Stances of a judge with the answers they are of."""
    stances, responses = store.scan("stances", study=study, judge=judge), store.scan("responses", study=study).select(*_ROW, "response")
    return stances.select(*_ROW, "topic", *STANCE_COLUMNS, "status").join(responses, on=_ROW).sort(_ROW).collect()


def _ends(judged: pl.DataFrame) -> pl.DataFrame:
    """Answers of the first and last step of every run, with a stance or refused; what could not be read is no matter of opinion."""
    first, last = pl.col("step").min().over("run_id"), pl.col("step").max().over("run_id")
    end = pl.when(pl.col("step") == last).then(pl.lit("last")).when(pl.col("step") == first).then(pl.lit("first"))
    readable = [JudgeStatus.OK.value, JudgeStatus.REFUSED.value]
    return judged.with_columns(end=end).filter(pl.col("end").is_not_null() & pl.col("status").is_in(readable))
