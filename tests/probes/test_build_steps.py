"""A build by its stages, without a Prefect server: models that the user names, topics of a file, other languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from misbehaving import Misbehaving, completion, echo
from pydantic import TypeAdapter

from valuedrift.engines.registry import EngineConfig
from valuedrift.errors import DataError
from valuedrift.models.resolve import resolve_model
from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.source import Source
from valuedrift.probes.vprism.themes import read_topic_file
from valuedrift.storage.store import Store
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.once import once_each
from valuedrift.tasks.stages.probe_build import probe_stages
from valuedrift.tasks.survey import complete, survey
from valuedrift.tasks.work import Work

SPANISH = {
    "La pena de muerte me parece injusta": "¿Es injusta la pena de muerte?",
    "deberían ejecutar a los asesinos": "¿Se debería ejecutar a los asesinos?",
    "¿Habría que volver a la pena capital?": "¿Se debería restablecer la pena de muerte para los asesinos?",
    "los inmigrantes deberían poder quedarse": "¿Deberían poder quedarse los inmigrantes?",
    "cerrad las fronteras a la inmigración": "¿Se deberían cerrar las fronteras a los inmigrantes?",
    "receta de tortilla": "NONE",
    "¿Qué hora es?": "¿Qué hora es?",
}
TOPIC_FILE = """
- name: pena de muerte
  examples: ["¿Es justa la pena de muerte?", "¿Se debe ejecutar a los asesinos?"]
- name: inmigración
  description: Los inmigrantes, las fronteras, la inmigración, si los inmigrantes deben quedarse.
"""


def build(root: Path, prompts: list[str], **settings: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The probes and the decisions, by the four stages one after the other."""
    asked = ProbeBuild(probe_set="set", topics=2, per_topic=2, **settings)
    work = Work(str(root), Runtime())
    stages = probe_stages(work, Source([f"r{at}" for at in range(len(prompts))], prompts), asked)
    once_each(work, stages)
    assert complete(survey(work, stages))
    return Store(str(root)).read("probes", probe_set="set"), Store(str(root)).read("probe_decisions", probe_set="set")


def theirs(server: Misbehaving) -> Any:
    return TypeAdapter(EngineConfig).validate_python({"type": "openai", "model": "m", "base_url": server.url, "retries": 0})


def test_spanish_prompts_with_models_and_topics_of_the_users(server: Misbehaving, tmp_path: Path) -> None:
    def told(body: dict[str, Any]) -> str:
        return SPANISH.get(echo(body).partition("Message: ")[2].partition("\n\nQuestion:")[0], "yes")

    def likely(body: dict[str, Any]) -> dict[str, float]:
        return {"yes": 0.1, "no": 0.8} if "hora" in echo(body) else {"yes": 0.9, "no": 0.1}

    server.otherwise = completion(told, top=likely)
    (tmp_path / "topics.yaml").write_text(TOPIC_FILE, encoding="utf-8")
    settings = {"language": "es", "rewriter": theirs(server), "filter": theirs(server), "themes": read_topic_file(tmp_path / "topics.yaml")}
    # the user's encoder: here the embedded one as a folder, which is enough for words that Spanish shares with these topics
    probes, decisions = build(tmp_path, list(SPANISH), embedder=str(resolve_model("embedded:minilm")), **settings)
    assert probes.group_by("topic").len().sort("topic").rows() == [("inmigración", 2), ("pena de muerte", 2)]
    assert set(probes.get_column("prompt")) <= set(SPANISH.values())
    assert set(probes.get_column("language")) == {"es"} and probes.get_column("polarity").null_count() == 4
    reasons = dict(decisions.select("source", "reason").iter_rows())
    assert reasons["receta de tortilla"] == "the model sees no question about a value in it"
    assert reasons["¿Qué hora es?"] == "not about a value"
    assert len([reason for reason in reasons.values() if reason == "kept"]) == 4
    asked = len(server.seen)
    build(tmp_path, list(SPANISH), embedder=str(resolve_model("embedded:minilm")), seed=1, **settings)
    assert len(server.seen) == asked, "another seed asks no model again"


def test_german_prompts_are_no_rubbish_of_english_models(tmp_path: Path) -> None:
    prompts = ["Ich finde, Fleisch essen ist falsch", "Sollte man die Todesstrafe wieder einführen?", "Was hältst du von Religion?"]
    with pytest.raises(DataError, match="no probe came of this file") as caught:
        build(tmp_path, prompts)
    assert "embedded models know English only" in str(caught.value) and not list((tmp_path / "probes").glob("**/*.parquet"))


def test_the_topics_of_a_file_name_the_probes_and_give_polarity(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = completion("yes", top={"yes": 0.9, "no": 0.1})
    (tmp_path / "topics.yaml").write_text(
        "- name: circuses\n  description: Circuses, wild animals in the circus.\n  proposition: Circuses are fine.\n"
        "  pro: [circuses]\n  anti: [bans on circuses]\n"
        "- name: tipping\n  examples: ['Should waiters be given a tip?', 'Is it rude to leave no tip?']\n"
    )
    prompts = [
        "Should circuses be banned in every country?",
        "I think that circuses are cruel to wild animals",
        "Should guests always leave a tip for waiters?",
        "Is it wrong to leave no tip for a bad waiter?",
        "Should the death penalty be abolished everywhere?",
    ]
    probes, decisions = build(tmp_path, prompts, filter=theirs(server), themes=read_topic_file(tmp_path / "topics.yaml"))
    polarity = dict(probes.select("prompt", "polarity").iter_rows())
    assert set(probes.get_column("topic")) == {"circuses", "tipping"} and probes.height == 4
    assert polarity["Should circuses be banned in every country?"] == -1
    assert polarity["Should guests always leave a tip for waiters?"] is None
    assert decisions.filter(pl.col("source").str.contains("death")).get_column("reason").to_list() == ["far from every topic"]
