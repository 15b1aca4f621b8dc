"""``valuedrift probes``: what a checkpoint is asked, to the token; and probes out of a file of users' prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from valuedrift.errors import UserError
from valuedrift.flows.cli.app import JsonOption, RootOption, app, print_json, resolve_root, target
from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.naming import EMBEDDED, engine_config, engine_option, engine_set_option
from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.probes import Probe
    from valuedrift.probes.vprism.config import ProbeBuild
    from valuedrift.sampling import Prompt, Sampling
    from valuedrift.storage.location import Location
    from valuedrift.tasks.work import Work

probes_app = typer.Typer(name="probes", help="Questions that are put to every checkpoint.", no_args_is_help=True)
app.add_typer(probes_app)


@probes_app.callback()
def probes() -> None:
    """Questions that are put to every checkpoint."""


@probes_app.command("show")
def show(
    of: Annotated[
        str, typer.Argument(metavar="[SET|STUDY]", help="A probe set (`starter` or a file) or a study file, local or s3://.")
    ] = "starter",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Whose chat template and tokens: a name of the study's, a folder, local or s3://, `embedded:NAME` or `hf:ORG/NAME`.",
        ),
    ] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="prompt_id of a probe; may be given several times.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Probes that are shown where none is named by --id; 0: all.")] = 3,
    tokens: Annotated[bool, typer.Option("--tokens", help="List every token with its id.")] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Print exactly what a checkpoint is asked: text and token ids, made as the engines make them. Loads the tokenizer, no weights."""
    asked = _of_study(of, model, resolve_root(root)) if of.endswith((".yaml", ".yml")) else _of_set(of, model)
    if ids:
        known = [probe.prompt_id for probe in asked.probes]
        for name in ids:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise UserError(f"no probe {name!r}", where=of, fix=f"did you mean {near[0]!r}?" if near else f"first of all: {known[0]}")
    chosen = [at for at, probe in enumerate(asked.probes) if not ids or probe.prompt_id in ids]
    shown = chosen if ids or not limit else chosen[:limit]
    rows = asked.rows(shown)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            _print_asked(row, tokens=tokens)
    if len(shown) < len(chosen):
        make_console(stderr=True).print(f"{len(chosen) - len(shown):,} more: --id, or --limit 0 for all", highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Asked:
    """Probes, as they are put to one model."""

    model: str
    probes: Sequence[Probe]
    prompts: Sequence[Prompt]
    sampling: Sampling

    def rows(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Of some of the probes: what is asked, its text by the model's template, and the token ids that the engines give the model."""
        from valuedrift.engines.prompting import prompt_tokens, render_prompt
        from valuedrift.models.loading import load_tokenizer
        from valuedrift.models.resolve import resolve_weights
        from valuedrift.tasks.sources import brought

        tokenizer = load_tokenizer(resolve_weights(brought(self.model)).tokenizer)
        prompts = [self.sampling.put(self.prompts[at]) for at in places]
        tokens = [prompt_tokens(tokenizer, prompt.text, prompt.before, sampling=self.sampling) for prompt in prompts]
        return [
            {
                "probe_set": self.probes[at].probe_set,
                "prompt_id": self.probes[at].prompt_id,
                "topic": self.probes[at].topic,
                "messages": [dict(message) for message in prompt.messages],
                "text": render_prompt(tokenizer, prompt.text, prompt.before, self.sampling),
                "token_ids": ids,
                "tokens": [tokenizer.decode([token]) for token in ids],
            }
            for at, prompt, ids in zip(places, prompts, tokens, strict=True)
        ]


def _of_set(reference: str, model: str | None) -> _Asked:
    from valuedrift.sampling import Sampling
    from valuedrift.tasks.sources import probes_of

    if model is None:
        raise UserError("whose template and tokens?", where="--model", fix="a folder, embedded:NAME or hf:ORG/NAME")
    probes = probes_of(reference)
    return _Asked(model, probes, [probe.asked for probe in probes], Sampling())


def _of_study(address: str, model: str | None, root: str) -> _Asked:
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.study_work import StudyWork

    work = StudyWork(study_of(address), root)
    known = {name: one.path for name, one in work.study.models.items()}
    if model is None and len(known) != 1:
        what = "a server makes text and tokens by itself" if not isinstance(work.study.engine, str) else "whose template and tokens?"
        fix = f"one of {', '.join(known)}" if known else "a folder with the model's tokenizer, embedded:NAME or hf:ORG/NAME"
        raise UserError(what, where="--model", fix=fix)
    return _Asked(next(iter(known.values())) if model is None else known.get(model, model), work.probes, work.asked, work.study.sampling)


def _print_asked(row: dict[str, Any], *, tokens: bool) -> None:
    """One question: its head on standard output in bold, then its text as it is; of control characters their escapes."""
    console = make_console()
    head = f"{row['probe_set']} · {row['prompt_id']} · {row['topic']} · {len(row['token_ids'])} tokens"
    console.print(Text(head, style="bold"), soft_wrap=True)
    console.print(Text(_visible(row["text"])), soft_wrap=True, end="\n\n")
    if tokens:
        for token, text in zip(row["token_ids"], row["tokens"], strict=True):
            console.print(Text(f"{token:>8} {text!r}"), soft_wrap=True)
        console.print()


def _visible(text: str) -> str:
    """A text in which nothing can steer the terminal."""
    return "".join(sign if sign in "\n\t" or sign.isprintable() else repr(sign)[1:-1] for sign in text)


@probes_app.command("build")
def build(
    source: Annotated[str, typer.Option("--source", help="Prompts: CSV, JSONL or Parquet, local or s3://.")],
    column: Annotated[str, typer.Option("--column", help="Column with the prompts.")],
    out: Annotated[str, typer.Option("--out", help="Probe set to write, .parquet, local or s3://; in a study `probes: {set: FILE}`.")],
    id_column: Annotated[
        str | None, typer.Option("--id-column", help="Column that identifies a prompt; default: the row's number.")
    ] = None,
    topics: Annotated[int, typer.Option("--topics", min=1, help="How many topics.")] = 11,
    per_topic: Annotated[int, typer.Option("--per-topic", min=1, help="How many probes of each.")] = 50,
    decisions: Annotated[
        str | None, typer.Option("--decisions", help="Parquet file, local or s3://, that says of every prompt what became of it.")
    ] = None,
    topic_file: Annotated[
        str | None,
        typer.Option(
            "--topic-file",
            help="YAML list of topics, local or s3://: name, description or examples, proposition. Default: found by clustering.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the probe set; default: that of the file.")] = None,
    language: Annotated[
        str, typer.Option("--language", help="Language tag of the probes; the embedded models know English alone, and refuse another.")
    ] = "en",
    rewriter: Annotated[str, engine_option("--rewriter", "Rewrites prompts as questions", EMBEDDED, "rules of English")] = EMBEDDED,
    rewriter_settings: Annotated[list[str] | None, engine_set_option("--rewriter-set")] = None,
    filter: Annotated[str, engine_option("--filter", "Tells questions about values", EMBEDDED, "a regression on embeddings")] = EMBEDDED,
    filter_settings: Annotated[list[str] | None, engine_set_option("--filter-set")] = None,
    embedder: Annotated[
        str,
        typer.Option(
            "--embedder", help="Encoder for clusters and doubles: `embedded`, a model folder, local or s3://, or hf:organisation/name."
        ),
    ] = EMBEDDED,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of clusters and sample.")] = 0,
    root: RootOption = None,
) -> None:
    """Make probes of users' prompts: rewrite as questions, keep the value-laden, cluster into topics, choose a diverse sample of each."""
    from valuedrift.probes.vprism.config import ProbeBuild
    from valuedrift.probes.vprism.embed import EMBEDDED as MINILM
    from valuedrift.probes.vprism.themes import read_topic_file
    from valuedrift.storage.fetching import at_hand
    from valuedrift.tasks.sources import brought

    place = target(out, "--out", ".parquet")
    told = target(decisions, "--decisions", ".parquet") if decisions else None
    themes = None
    if topic_file:
        with at_hand(topic_file) as path:
            themes = read_topic_file(path)
    settings = ProbeBuild(
        probe_set=name or place.name.removesuffix(".parquet"),
        topics=topics,
        per_topic=per_topic,
        seed=seed,
        language=language,
        source=Path(source).name,
        themes=themes,
        rewriter=engine_config(rewriter, rewriter_settings, "--rewriter"),
        filter=engine_config(filter, filter_settings, "--filter"),
        embedder=MINILM if embedder == EMBEDDED else brought(embedder),
    )
    with at_hand(source) as prompts:
        _run(prompts, column, id_column, settings, resolve_root(root), place, told)


def _run(
    source: Path, column: str, id_column: str | None, settings: ProbeBuild, root: str, target: Location, told: Location | None
) -> None:
    from valuedrift.flows.cli.console import hush_prefect

    hush_prefect()
    from valuedrift.probes.vprism.source import read_source
    from valuedrift.study.runtime import Runtime
    from valuedrift.tasks.stages.probe_build import probe_stages
    from valuedrift.tasks.survey import complete, survey
    from valuedrift.tasks.work import Work

    console = make_console()
    work = Work(root, Runtime())
    stages = probe_stages(work, read_source(source, column, id_column), settings)
    if complete(survey(work, stages)[-1:]):
        console.print("nothing to do: this build is in the tables", highlight=False)
    else:
        from valuedrift.flows.cli.board import progress_of
        from valuedrift.flows.probes import build_probes

        with progress_of(make_console(stderr=True), len(stages), "what finished is kept; the same command goes on from there"):
            build_probes(str(source), column, settings, id_column, root)
    _conclude(work, settings, target, told, console)


def _conclude(work: Work, build: ProbeBuild, target: Location, told: Location | None, console: Console) -> None:
    from valuedrift.probes.vprism.english.rewrite import NOT_ENGLISH
    from valuedrift.storage import parquet
    from valuedrift.storage.schemas import table_schema

    frames = {name: work.store.read(name, probe_set=build.probe_set) for name in ("probes", "probe_decisions")}
    for name, place in (("probes", target), ("probe_decisions", told)):
        if place is not None:
            place.put_bytes(parquet.encoded(table_schema(name), [frames[name]]))
    probes, decisions = frames["probes"], frames["probe_decisions"]
    table = Table("topic", "probes", "yes supports", "yes opposes", "unknown", box=None, header_style="bold")
    for topic, part in probes.group_by("topic", maintain_order=True):
        known = part.get_column("polarity")
        table.add_row(escape(str(topic[0])), str(part.height), str((known == 1).sum()), str((known == -1).sum()), str(known.null_count()))
    console.print(table)
    asked = decisions.get_column("question").count()
    valued = decisions.filter(decisions["value_laden"] >= build.threshold).height
    console.print(
        f"{counted(decisions.height, 'prompt')}, {counted(asked, 'question')}, {valued:,} about a value, {counted(probes.height, 'probe')} in {target.uri}",
        highlight=False,
        soft_wrap=True,
    )
    if probes.height < build.topics * build.per_topic:
        console.print(
            f"[yellow]note[/] fewer than {build.topics} × {build.per_topic}: the prompts hold no more distinct questions of these topics",
            highlight=False,
            soft_wrap=True,
        )
    foreign = decisions.filter(decisions["reason"] == NOT_ENGLISH).height
    if 10 * foreign >= decisions.height:
        console.print(
            f"[yellow]note[/] {foreign:,} of {decisions.height:,} prompts are not English, and the embedded models know English only: "
            "for others name --language, --rewriter, --filter and --embedder",
            highlight=False,
            soft_wrap=True,
        )
    if told is not None:
        console.print(f"what became of every prompt: {escape(told.uri)}", highlight=False, soft_wrap=True)
