"""What a small judge is taught from: answers of a study or a file, and what the teacher says of them, once said never asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint, seed_from
from valuedrift.judges.base import Pair, remarks_of
from valuedrift.judges.cascade import Cascade
from valuedrift.judges.frames import judgements_frame, read_answers, write_whole
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JudgeConfig, judge_identity
from valuedrift.progress import Progress
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus
from valuedrift.storage.fetching import at_hand
from valuedrift.storage.store import Store
from valuedrift.tasks.judging import ANSWER, JUDGED_COLUMNS
from valuedrift.tasks.labels import study_name

_CHUNK = 200
"""Answers that the teacher judges between two times that its judgements are kept."""
_CHECKPOINT = ("run_id", "step")
_JUDGED: Mapping[str, type[pl.DataType]] = {**dict.fromkeys(JUDGED_COLUMNS[:-1], pl.Float64), "status": pl.String}
_SAID: Mapping[str, type[pl.DataType]] = {"prompt": pl.String, "response": pl.String, **_JUDGED}
"""What is kept of a teacher's judgement: the texts that it read, and what it said."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who teaches.

    Attributes:
        name: Its name.
        config: The judge, where it can be asked; None: a study knows its judgements, and nothing says how it is asked.
        identity: Fingerprint of what it is.
    """

    name: str
    config: JudgeConfig | None
    identity: str

    @property
    def title(self) -> str:
        """Name and kind, and the model where it names one."""
        if self.config is None:
            return self.name
        model = getattr(self.config, "model", None) or getattr(getattr(self.config, "engine", None), "model", None)
        return f"{self.name} ({self.config.type}{f', {model}' if model else ''})"

    @classmethod
    def of(cls, config: JudgeConfig) -> Teacher:
        """A judge that can be asked.

        Raises:
            UserError: It is a cascade, which reads no answers itself; or what it needs is missing.
        """
        if isinstance(config, Cascade):
            raise UserError(
                "a cascade is two judges, and most of its verdicts are those of the cheap one",
                where=f"teacher {config.name}",
                fix=f"its strong judge is the teacher: {config.strong}",
            )
        return cls(config.name, config, fingerprint(judge_identity(config)))


def named_in_study(store: Store, study: str, name: str, judges: Sequence[JudgeConfig]) -> Teacher | None:
    """The judge of this name that judged a study's answers, all of them or the sample of a cascade.

    Args:
        store: Where the tables lie.
        study: Name of the study.
        name: Name of the judge.
        judges: The judges of the study's file, where it was given.

    Returns:
        None where the study knows no such judge.

    Raises:
        UserError: It is a cascade, or its judgements are of several versions of it.
    """
    if (config := next((judge for judge in judges if judge.name == name), None)) is not None and not isinstance(config, Panel):
        return Teacher.of(config)
    sampled = {
        fingerprint(entry.identity["strong"])
        for entry in store.entries("cascade_sample", study)
        if "strong" in entry.identity and name in store.read_entry(entry)["strong"].unique().to_list()
    }
    entries = [entry for entry in store.entries("stances", study) if entry.slot == name]
    if any(entry.identity.get("stage") == "cascade" for entry in entries):
        raise UserError(
            "a cascade is two judges, and most of its verdicts are those of the cheap one",
            where=f"study {study}, judge {name}",
            fix="name its strong judge",
        )
    own = {fingerprint(entry.identity["judge"]) for entry in entries if "judge" in entry.identity}
    if entries and not own:  # a panel, or imported: there the name alone tells
        return Teacher(name, None, "")
    if not own | sampled:
        return None
    if len(own | sampled) > 1:
        raise UserError(
            "its judgements are of several versions of it", where=f"study {study}, judge {name}", fix="give the judge as a file"
        )
    return Teacher(name, None, (own | sampled).pop())


def answers_of_file(address: str) -> pl.DataFrame:
    """Answers of a file.

    Args:
        address: CSV, JSONL or Parquet with prompt and response, local or in a store; pair_id, where there is one, tells opposite wordings.

    Returns:
        Columns prompt, response, question, and what the teacher says: nothing yet.

    Raises:
        UserError, DataError: See :func:`valuedrift.tabular.read_frame`.
    """
    with at_hand(address) as path:
        frame = read_answers(path)
    pair = pl.format("{}/{}", pl.col("probe_set").fill_null("") if "probe_set" in frame.columns else pl.lit(""), pl.col("pair_id"))
    frame = frame.with_columns((pair if "pair_id" in frame.columns else pl.lit(None, dtype=pl.String)).alias("pair"))
    return _once(frame.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in _JUDGED.items()))


def answers_of_study(store: Store, study: str, teacher: Teacher) -> pl.DataFrame:
    """Free answers of a study, with what it knows of the teacher's judgements of them.

    Args:
        store: Where the tables lie.
        study: A study file or name.
        teacher: Whose judgements.

    Returns:
        See :func:`answers_of_file`.

    Raises:
        UserError: There is no such study, or nothing was sampled yet.
    """
    name = study_name(store, study)
    probes = store.read("probes").filter(pl.col("options").is_null())
    asked = probes.select("probe_set", "prompt_id", "prompt", pair=pl.format("{}/{}", "probe_set", "pair_id"))
    key = [*_CHECKPOINT, *(column for column in ANSWER if column != "topic")]
    answers = store.scan("responses", study=name).filter(pl.col("finish_reason") != "failed").select(*key, "response").collect()
    answers = answers.join(asked, on=["probe_set", "prompt_id"], maintain_order="left")
    if not answers.height:
        raise UserError("the study has no free answers yet", where=f"study {name}", fix="valuedrift run STUDY")
    said = [
        store.read_entry(entry).select(*key, *JUDGED_COLUMNS)
        for table, who in (("stances", "judge"), ("cascade_sample", "strong"))
        for entry in store.entries(table, name)
        if (who in entry.identity and fingerprint(entry.identity[who]) == teacher.identity)
        or (table == "stances" and not teacher.identity and entry.slot == teacher.name)
    ]
    known = pl.concat(said, how="vertical_relaxed").unique(key, keep="first", maintain_order=True) if said else None
    if known is None:
        return _once(answers.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in _JUDGED.items()))
    known = known.filter(pl.col("status") != JudgeStatus.FAILED.value)
    return _once(answers.join(known, on=key, how="left", maintain_order="left"))


def drawn(answers: pl.DataFrame, n: int, seed: int) -> pl.DataFrame:
    """So many answers, as evenly over the questions as there are, those that the teacher has judged before the others of a question.

    Args:
        answers: As :func:`answers_of_file` gives them.
        n: Answers at most.
        seed: For another draw.
    """
    if answers.height <= n:
        return answers
    texts = answers.select("question", "prompt", "response", pl.col("status").is_null()).rows()
    chance = [seed_from(seed, prompt, response) for _, prompt, response, _ in texts]
    order = sorted(range(len(texts)), key=lambda row: (texts[row][0], texts[row][3], chance[row]))
    rank: Counter[str] = Counter()
    place = [0] * len(texts)
    for row in order:
        place[row] = rank[texts[row][0]]
        rank[texts[row][0]] += 1
    chosen = sorted(sorted(order, key=lambda row: (place[row], seed_from(seed, texts[row][0])))[:n])
    return answers[chosen]


def judged_by(
    teacher: Teacher, answers: pl.DataFrame, keep: Path, *, threads: int | None, progress: Callable[[Progress], None]
) -> tuple[pl.DataFrame, list[str]]:
    """Answers with what the teacher says of them; what it had not said before it is asked now, and kept as it comes.

    Args:
        teacher: Who is asked.
        answers: As :func:`answers_of_file` gives them.
        keep: Folder for its judgements, and for a server's replies.
        threads: CPU threads; None leaves torch's setting.
        progress: Told how many answers it has judged.

    Returns:
        The answers that have a judgement, and the teacher's remarks.

    Raises:
        UserError: See :meth:`JudgeBase.load`; what was judged until then is kept.
    """
    open_ones = answers.filter(pl.col("status").is_null())
    if teacher.config is None or not open_ones.height:
        return answers.filter(pl.col("status").is_not_null()), []
    path = keep / f"{teacher.identity}.parquet"
    kept = pl.read_parquet(path) if path.is_file() else pl.DataFrame(schema=_SAID)
    wanted = open_ones.select("prompt", "response").join(kept, on=["prompt", "response"], how="anti", maintain_order="left")
    remarks: list[str] = []
    if wanted.height:
        keep.mkdir(parents=True, exist_ok=True)
        judge = teacher.config.load(threads=threads, keep=keep)
        # a panel loads its members anew each time
        chunk = wanted.height if isinstance(teacher.config, Panel) else _CHUNK
        for start in range(0, wanted.height, chunk):
            part = wanted[start : start + chunk]
            pairs = [Pair(str(row), prompt, response) for row, (prompt, response) in enumerate(part.iter_rows())]

            def told(step: Progress, start: int = start) -> None:
                progress(Progress(min(start + step.done, wanted.height), wanted.height, step.note))

            said = part.hstack(judgements_frame(judge.judge(pairs, told)))
            kept = pl.concat([kept, said.filter(pl.col("status") != JudgeStatus.FAILED.value).select(kept.columns)])
            write_whole(kept, path)
        remarks = remarks_of(judge)
    now = open_ones.drop(JUDGED_COLUMNS).join(kept, on=["prompt", "response"], how="left", maintain_order="left")
    failed = now.with_columns(pl.col("status").fill_null(JudgeStatus.FAILED.value)).select(answers.columns)
    return pl.concat([answers.filter(pl.col("status").is_not_null()), failed]), remarks


def to_ask(teacher: Teacher, answers: pl.DataFrame, keep: Path) -> pl.DataFrame:
    """Those of some answers that the teacher will be asked about."""
    if teacher.config is None:
        return answers.clear()
    path = keep / f"{teacher.identity}.parquet"
    open_ones = answers.filter(pl.col("status").is_null())
    return open_ones.join(pl.read_parquet(path), on=["prompt", "response"], how="anti") if path.is_file() else open_ones


def probabilities_of(answers: pl.DataFrame) -> list[tuple[str, str, str, tuple[float, float, float]]]:
    """Question, prompt, response and distribution of the answers that the teacher has a stance for."""
    ok = answers.filter(pl.col("status") == JudgeStatus.OK.value)
    rows = ok.select("question", "prompt", "response", *STANCE_COLUMNS).iter_rows()
    return [(question, prompt, response, (support, neutral, oppose)) for question, prompt, response, support, neutral, oppose in rows]


def _once(answers: pl.DataFrame) -> pl.DataFrame:
    """Equal answers to equal prompts once, judged ones before others, with the question that they are of."""
    once = answers.sort(pl.col("status").is_null(), maintain_order=True).unique(["prompt", "response"], keep="first", maintain_order=True)
    pairs = once.select("prompt", "pair").unique(maintain_order=True).rows()
    return once.with_columns(question=pl.col("prompt").replace_strict(_questions(pairs), return_dtype=pl.String)).select(
        "question", "prompt", "response", *JUDGED_COLUMNS
    )


def _questions(pairs: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """The question of every prompt: the first text of all that share a pair, or are the same but for case and spaces.

    Args:
        pairs: Prompts, each with a name of its pair, or None; a prompt may have several.
    """
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for prompt, pair in pairs:
        own = f"prompt {' '.join(prompt.casefold().split())}"
        one, other = sorted((lead(own), lead(own if pair is None else f"pair {pair}")), key=lambda name: (name.startswith("pair "), name))
        leader[other] = one
    return {prompt: lead(f"prompt {' '.join(prompt.casefold().split())}").removeprefix("prompt ") for prompt, _ in pairs}
