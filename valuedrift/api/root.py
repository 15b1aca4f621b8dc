"""``vd.open``: the tables of a root as polars frames."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import polars as pl

from valuedrift.drift.analyze import analyze
from valuedrift.drift.comparisons import named_runs
from valuedrift.drift.options import Analysis, Towards
from valuedrift.errors import DataError, UserError
from valuedrift.storage.schemas import table_schema
from valuedrift.storage.store import Store
from valuedrift.words import listed

Names = str | Sequence[str] | None
"""A name, several of which a row has one, or None for all."""
_ANSWER = ("study", "run_id", "step", "probe_set", "topic", "prompt_id", "sample_idx")
_ASKED = ("prompt", "system", "turns", "persona", "options")
_SAID = ("response", "reasoning", "finish_reason")
_ANSWERS = (
    *_ANSWER[:6],
    *_ASKED,
    "sample_idx",
    *_SAID,
    "judge",
    "p_support",
    "p_neutral",
    "p_oppose",
    "unassigned",
    "status",
    "polarity",
    "pair_id",
)
_WHY_NOT = {"_corrected": "people labelled nothing", "seed_": "no study has `seeds`"}
"""Why a table is not there, by a part of its name."""
_MADE_BY = "`valuedrift run` makes it of a study, `valuedrift report` of imported stances"
_NO_PHASE = ("drift_time", "drift_time_low", "drift_time_high", "drift_time_warning", "drift_time_note")


def open(root: str | os.PathLike[str]) -> Root:  # meant: vd.open
    """Open the tables of a root for reading.

    Args:
        root: What ``--root`` is: a folder, or ``s3://bucket/prefix``.

    Raises:
        UserError: There are no tables.
    """
    return Root(root)


class Root:
    """The tables of one or many studies under one root. What is written meanwhile is seen by the next call.

    Args:
        root: A folder, or ``s3://bucket/prefix``.
        study: Whose rows are meant where a call names no study; default: those of all.

    Attributes:
        study: As given.
        store: Every table whole, and its schema: ``root.store.read("training", study="demo")``.

    Raises:
        UserError: There are no tables.
    """

    def __init__(self, root: str | os.PathLike[str], study: str | None = None) -> None:
        given: object = root  # None, say, which types alone forbid
        if not isinstance(given, str | os.PathLike):
            raise UserError(f"a root is a folder or an address, not {type(given).__name__}", fix='vd.open("valuedrift-data")')
        self.store = Store(root)
        self.study = study
        if not self.store.entries():
            raise UserError(self.store.why_empty(), where=self.store.root.uri, fix="give the --root of a study that was run")

    def __repr__(self) -> str:
        return f"valuedrift.Root({self.store.root.uri!r}, study={self.study!r})  # has {listed(self.studies()) or 'no study'}"

    def studies(self) -> list[str]:
        """Names of the studies that have tables here."""
        return self.store.studies()

    def runs(self, *, study: Names = None, run: Names = None) -> pl.DataFrame:
        """The training phases.

        Args:
            study: Names of studies; default: all.
            run: Their run_ids; default: all.

        Returns:
            A row a run: study, run_id, parent_run_id (the phase that it starts from, null for the first), model, phase (``sft``, ``dpo`` …), dataset, seed,
            total_steps, config (JSON), fingerprint, git_commit, started, ended (UTC).

        Raises:
            UserError: There is no such study or run.
        """
        return self._rows("runs", study=study or self.study, run_id=run)

    def trajectory(
        self, *, study: Names = None, run: Names = None, topic: Names = None, judge: Names = None, corrected: bool = False
    ) -> pl.DataFrame:
        """Where the stances stood at each checkpoint.

        Args:
            study: Names of studies; default: all.
            run: Their run_ids; default: all.
            topic: Topics; default: all.
            judge: Names of judges; default: all.
            corrected: Whether corrected by what people labelled; rows of studies with labels only.

        Returns:
            A row a study, judge, run_id, step, topic and stance (``support``, ``neutral``, ``oppose``): mean (over prompts, of the stance's probability, 0–1),
            low and high (its interval at the study's confidence), n_prompts.

        Raises:
            UserError: There is no such study, run, topic or judge, or nothing is analysed.
        """
        table = "trajectory_corrected" if corrected else "trajectory"
        return self._rows(table, study=study or self.study, run_id=run, topic=topic, judge=judge)

    def drift(
        self, *, study: Names = None, run: Names = None, topic: Names = None, judge: Names = None, corrected: bool = False
    ) -> pl.DataFrame:
        """How far, when and how surely each run moved each stance.

        Args:
            study: Names of studies; default: all.
            run: Their run_ids; default: all.
            topic: Topics; default: all.
            judge: Names of judges; default: all.
            corrected: Whether corrected by what people labelled; rows of studies with labels only, with fewer columns (docs/tables.md).

        Returns:
            A row a study, judge, run_id, topic and stance: from_step, to_step; magnitude (mean at to_step minus mean at from_step, −1 to 1), magnitude_low,
            magnitude_high; drift_time (share of the phase, 0 to 1; null where it cannot be told), drift_time_low, drift_time_high, drift_time_warning,
            drift_time_note; n_prompts; p_value, q_value (Benjamini–Hochberg over the tests of a run), q_value_study (over those of the study);
            total_variation and jensen_shannon (distances of the two stance distributions, 0 to 1).

        Raises:
            UserError: There is no such study, run, topic or judge, or nothing is analysed.
        """
        table = "drift_corrected" if corrected else "drift"
        return self._rows(table, study=study or self.study, run_id=run, topic=topic, judge=judge)

    def over_seeds(
        self, *, study: Names = None, group: Names = None, topic: Names = None, judge: Names = None, trajectory: bool = False
    ) -> pl.DataFrame:
        """Drift, or trajectory, over runs that differ in seed alone, of studies with ``seeds``.

        Args:
            study: Names of studies; default: all.
            group: What those runs share: the run_id without ``-seed1``; default: all.
            topic: Topics; default: all.
            judge: Names of judges; default: all.
            trajectory: Whether means at every checkpoint (table seed_trajectory) instead of drift (seed_drift).

        Returns:
            A row a study, judge, run_group, topic and stance (and step), with intervals over prompts and seeds; columns as in docs/tables.md.

        Raises:
            UserError: There is no such study, group, topic or judge, or no study with ``seeds`` is analysed.
        """
        table = "seed_trajectory" if trajectory else "seed_drift"
        return self._rows(table, study=study or self.study, run_group=group, topic=topic, judge=judge)

    def answers(
        self,
        *,
        study: Names = None,
        run: Names = None,
        step: int | Sequence[int] | None = None,
        topic: Names = None,
        judge: Names = None,
    ) -> pl.DataFrame:
        """What each checkpoint answered to each question, and which stance each judge saw in it.

        Args:
            study: Names of studies; default: all.
            run: Their run_ids; default: all.
            step: Steps; default: all.
            topic: Topics; default: all.
            judge: Names of judges; default: all.

        Returns:
            A row an answer and judge: study, run_id, step, probe_set, topic, prompt_id, prompt (the question; null where the root has only its id),
            system, turns and persona (the message, the earlier turns and the text before that it is asked with, or null), options (of a forced choice, else
            null), sample_idx, response (untrusted text; null where only its stance was imported), reasoning (the thought before it, or null),
            finish_reason; judge, p_support, p_neutral, p_oppose (sum 1; null where not judged), unassigned, status (``ok``, ``refused`` …), polarity
            (+1: yes supports the topic's proposition, −1: opposes it), pair_id. An answer that
            nobody judged yet has one row, its columns from judge on null.

        Raises:
            UserError: There is no such study, run, step, topic or judge, or nothing is sampled.
        """
        where: dict[str, Any] = {"study": study or self.study, "run_id": run, "step": step, "topic": topic}
        responses = self._given("responses", where).select(*_ANSWER, *_SAID)
        stances = self._given("stances", {**where, "judge": judge}).select(
            *_ANSWER, "judge", "p_support", "p_neutral", "p_oppose", "unassigned", "status", "polarity", "pair_id"
        )
        joined = responses.join(stances, on=_ANSWER, how="full" if judge is None else "right", coalesce=True)
        prompts = self.store.scan("probes").select("probe_set", "prompt_id", *_ASKED)
        found = joined.join(prompts, on=["probe_set", "prompt_id"], how="left").select(_ANSWERS).sort(*_ANSWER, "judge").collect()
        self._check_names("stances", found, {**where, "judge": judge}, beside="responses")
        return found

    def compare(
        self,
        a: str,
        b: str,
        *,
        topic: Names = None,
        judge: Names = None,
        step_a: int | None = None,
        step_b: int | None = None,
        confidence: float | None = None,
        towards: Towards | str | None = None,
    ) -> pl.DataFrame:
        """How far run b stands from run a: b − a, paired on the prompts that both were asked. A topic that is left out is told by a warning.

        Args:
            a: The run that is subtracted: its run_id, or ``STUDY/RUN`` where several studies have a run of that name.
            b: The other run, of the same study or another one.
            topic: Topics; default: all that both have.
            judge: Names of judges; default: all that judged both.
            step_a: Step of run a; default: its last.
            step_b: Step of run b; default: its last.
            confidence: Level of the intervals; default: that of the studies.
            towards: ``question`` or ``proposition``: what a stance is taken on; default: as in the studies.

        Returns:
            A row a judge, topic and stance: study and run_id (of b), baseline_study and baseline_run_id (of a), from_step (of a), to_step (of b); magnitude
            (b − a of the mean probability, −1 to 1), magnitude_low, magnitude_high; n_prompts (in both), p_value, q_value, q_value_study;
            total_variation and jensen_shannon.

        Raises:
            UserError: There is no such run, step, topic or judge, nothing is common to both, or their studies are analysed in different ways
                and nobody says in which.
        """
        there = pl.DataFrame(
            [{"study": entry.study, "run_id": str(entry.partition["run_id"])} for entry in self.store.entries("stances")],
            schema={"study": pl.String, "run_id": pl.String},
        )
        pair = named_runs((a, b), there, self.store.root.uri)
        studies = sorted(
            {study for study, run_id in there.unique().iter_rows() if any(run.means({"study": study, "run_id": run_id}) for run in pair)}
        )
        names = sorted({run.run_id for run in pair})
        stances = self._rows("stances", study=studies, run_id=names, topic=topic, judge=judge)
        options = self._options(studies, {"confidence": confidence, "towards": towards})
        found = analyze(stances, options, between=(a, b), from_step=step_a, to_step=step_b, where=self.store.root.uri)
        for warning in found.left_out:
            warnings.warn(warning, stacklevel=2)
        keys = ("study", "run_id", "baseline_study", "baseline_run_id")
        return found.drift.drop(_NO_PHASE).select(*keys, pl.exclude(keys))

    def _options(self, studies: Sequence[str], given: dict[str, Any]) -> Analysis:
        """How stances of some studies are analysed: as is given, else as all of them were."""
        said = [entry.identity.get("analysis", {}) for name in studies if (entry := self.store.entry("drift", {"study": name})) is not None]
        chosen: dict[str, Any] = {}
        for option, value in given.items():
            values = {one[option] for one in said if option in one} if value is None else {value}
            if len(values) > 1:
                what = f"the studies have different values of {option}: {', '.join(sorted(map(str, values)))}"
                raise UserError(what, where=listed(studies), fix=f"name one: {option}=…")
            if values:
                chosen[option] = values.pop()
        return Analysis.model_validate(chosen)

    def _rows(self, table: str, **where: Any) -> pl.DataFrame:
        """Rows of a table in the order of its keys."""
        found = self._given(table, where).collect()
        self._check_names(table, found, where)
        return found.sort(table_schema(table).keys)

    def _given(self, table: str, where: dict[str, Any]) -> pl.LazyFrame:
        return self.store.scan(table, **{name: value for name, value in where.items() if value is not None})

    def _check_names(self, table: str, found: pl.DataFrame, where: dict[str, Any], *, beside: str | None = None) -> None:
        """See that every name that was asked for is there, whether or not it has rows together with the others.

        Raises:
            UserError: The table has no rows at all, or not this name in any.
        """
        for name, value in where.items():
            wanted = [] if value is None else [value] if isinstance(value, str | int) else list(value)
            if not set(wanted).issubset(found.get_column(name)):
                of = [one for one in (table, beside) if one is not None and name in table_schema(one).names]
                known = {one for each in of for one in self.store.scan(each).select(pl.col(name).unique()).collect().get_column(name)}
                if lacking := [one for one in wanted if one not in known]:
                    near = get_close_matches(str(lacking[0]), [str(one) for one in known], n=1)
                    fix = f"did you mean {near[0]!r}?" if near else f"there are {listed(sorted(map(str, known)), 20) or 'none'}"
                    raise UserError(f"no {name} {lacking[0]!r} in {table}", where=self.store.root.uri, fix=fix)
        if not found.height and not any(self.store.entries(one) for one in (table, beside) if one is not None):
            made = next((why for part, why in _WHY_NOT.items() if part in table), _MADE_BY)
            raise DataError(f"there is no table {table} yet", where=self.store.root.uri, fix=made)
