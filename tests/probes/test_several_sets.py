"""Several probe sets in one study: what is asked, what tells their topics and prompts apart, and that one set is what it always was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from misbehaving import Misbehaving, completion
from pydantic import ValidationError

from valuedrift.errors import UserError
from valuedrift.faults import describe
from valuedrift.fingerprint import fingerprint
from valuedrift.probes import load_probes, probes_fingerprint, together
from valuedrift.results.facts import study_fingerprint
from valuedrift.storage.store import Store
from valuedrift.study import Study, load_study
from valuedrift.tasks.once import once_each
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.stages.sample import sample_identity
from valuedrift.tasks.study_work import StudyWork

MINE = "prompt_id,topic,prompt,polarity\n1,immigration,Should Italy welcome more migrants?,1\n2,zoos,Should zoos be banned?,1\n"
OTHERS = (
    "prompt_id,topic,prompt,polarity,options\n1,zoos,Are zoos cruel?,1,\n"
    '3,law,Should judges be elected?,1,"[""Yes"", ""No"", ""No opinion""]"\n'
)
FIRST = {"topics": ["immigration"], "per_topic": 2}


def study_of(folder: Path, probes: Any, **changes: Any) -> Study:
    """A study of a server's checkpoints beside two files of probes."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.csv").write_text(MINE, encoding="utf-8")
    (folder / "others.csv").write_text(OTHERS, encoding="utf-8")
    written = {
        "study": "several",
        "probes": probes,
        "served": {"r": {0: "a", 10: "b"}},
        "engine": {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "retries": 0},
        "sampling": {"n": 1, "max_new_tokens": 8},
        "analysis": {"resamples": 200},
        "runtime": {"threads": 1},
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    return load_study(folder / "study.yaml")


def forced_key(work: StudyWork) -> bool:
    """Whether the identity of stances says how forced choices are read."""
    (stage, *_) = [stage for stage in stages_of(work) if stage.name == "judge"]
    return "choice" in stage.identity([Reference(key="answers")])


def work_of(folder: Path, probes: Any, **changes: Any) -> StudyWork:
    return StudyWork(study_of(folder, probes, **changes), str(folder / "root"))


def test_topics_of_two_sets_with_one_name_are_two(tmp_path: Path) -> None:
    work = work_of(tmp_path / "s", [FIRST, {"set": "mine.csv"}, {"set": "others.csv"}])
    found = {(probe.probe_set, probe.prompt_id): probe.topic for probe in work.probes}
    assert {topic for (name, _), topic in found.items() if name == "starter"} == {"immigration"} and len(found) == 6
    assert found["mine", "1"] == "immigration (mine)" and found["mine", "2"] == "zoos"
    assert found["others", "1"] == "zoos (others)" and found["others", "3"] == "law"


def test_prompts_of_one_id_are_drawn_by_two(tmp_path: Path) -> None:
    work = work_of(tmp_path / "s", [{"set": "mine.csv"}, {"set": "others.csv"}])
    assert [prompt.prompt_id for prompt in work.asked] == ["mine/1", "2", "3", "others/1"]
    assert [prompt.text for prompt in work.asked] == [probe.prompt for probe in work.probes]


def test_each_set_is_one_part_of_the_probes_table_as_it_is_in_a_study_of_its_own(tmp_path: Path) -> None:
    def parts(folder: str, probes: Any) -> dict[str, str]:
        stages = [stage for stage in stages_of(work_of(tmp_path / folder, probes)) if stage.name == "probes"]
        return {str(stage.result.partition["probe_set"]): fingerprint(dict(stage.identity([]))) for stage in stages}

    several = parts("s", [{"topics": ["immigration"]}, {"set": "mine.csv"}, {"topics": ["religion"]}])
    assert several == {**parts("a", {"set": "starter"}), **parts("b", {"set": "mine.csv"})}


def test_a_list_of_one_set_is_that_set(tmp_path: Path) -> None:
    one, listed = work_of(tmp_path / "a", FIRST), work_of(tmp_path / "b", [FIRST])
    assert one.study == listed.study and study_fingerprint(one.study) == study_fingerprint(listed.study)
    assert one.probes_fingerprint == listed.probes_fingerprint == probes_fingerprint(load_probes("starter", **FIRST))
    assert one.probe_set == {"probe_set": "starter"}


def test_what_set_a_prompt_is_of_is_identity_only_where_there_are_several(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    study_of(folder, FIRST)
    (folder / "renamed.csv").write_text(OTHERS, encoding="utf-8")

    def key(*sets: Any) -> str:
        return fingerprint(sample_identity(work_of(folder, list(sets)), "weights"))

    others, renamed = {"set": "others.csv"}, {"set": "renamed.csv"}
    assert key(others) == key(renamed)
    assert len({key(others), key(FIRST, others), key(FIRST, renamed), key(FIRST)}) == 4
    assert key(FIRST, others) == key(others, FIRST)


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ([{"topics": ["immigration"]}, {"per_topic": 2}], r"prompt 'immigration.*' of probe set 'starter' is asked twice"),
        ([{"set": "mine.csv"}, {"set": "there/mine.csv"}], "two probe sets are called 'mine'"),
    ],
)
def test_sets_that_are_not_apart_are_refused(tmp_path: Path, probes: Any, message: str) -> None:
    (tmp_path / "s" / "there").mkdir(parents=True)
    (tmp_path / "s" / "there" / "mine.csv").write_text(OTHERS.replace("\n1,", "\n7,"), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        once_each(work := work_of(tmp_path / "s", probes), [stage for stage in stages_of(work) if stage.name == "sample"])


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ({"topcis": ["a"]}, "unknown key `probes.topcis`; did you mean `topics`?"),
        ([{"set": "mine.csv"}, {"topcis": ["a"]}], "unknown key `probes.1.topcis`; did you mean `topics`?"),
        ([], "`probes`: an empty list asks nothing: a probe set, or a list of several"),
        ({"per_topic": 1}, "`probes.per_topic`: must be greater than or equal to 2, not 1"),
    ],
)
def test_a_fault_in_a_set_is_told_with_its_place(probes: Any, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Study.model_validate({"study": "s", "probes": probes, "models": {"m": {"path": "m"}}})
    assert message in describe(raised.value, Study)


def test_no_order_of_the_sets_asks_a_prompt_twice() -> None:
    sets = [load_probes("starter", topics=[topic], per_topic=2) for topic in ("religion", "abortion")]
    assert (
        sorted(together(sets), key=str)
        == sorted(together(sets[::-1]), key=str)
        == sorted(load_probes("starter", topics=["religion", "abortion"], per_topic=2), key=str)
    )


@pytest.mark.slow
def test_a_study_of_two_sets_is_drawn_judged_and_traced_by_topic(tmp_path: Path, server: Misbehaving) -> None:
    server.otherwise = completion(lambda body: "B" if "letter of one option" in str(body) else "Yes, I strongly support it.")
    engine = {"type": "openai", "base_url": server.url, "retries": 0}
    work = work_of(tmp_path / "s", [{"set": "mine.csv"}, {"set": "others.csv"}], engine=engine)
    once_each(work, [stage for stage in stages_of(work) if stage.name != "report"])
    assert forced_key(work) and not forced_key(work_of(tmp_path / "s", {"set": "mine.csv"}, engine=engine))
    work.close()
    store = Store(str(tmp_path / "s" / "root"))
    keys = ["probe_set", "prompt_id", "topic"]
    right = {("mine", "1", "immigration"), ("mine", "2", "zoos"), ("others", "1", "zoos (others)"), ("others", "3", "law")}
    for table in ("responses", "stances"):
        assert set(store.read(table, study="several").select(keys).rows()) == right and store.read(table, study="several").height == 8
    assert set(store.read("trajectory", study="several")["topic"]) == {topic for *_, topic in right}
    asked = store.read("probes").select("probe_set", "prompt_id", "prompt")
    assert store.read("responses", study="several").join(asked, on=["probe_set", "prompt_id"])["prompt"].n_unique() == 4
    forced = store.read("stances", study="several", run_id="r").filter(pl.col("topic") == "law")
    assert forced.select("p_support", "p_neutral", "p_oppose", "status").rows() == [(0.0, 0.0, 1.0, "ok")] * 2
    assert all(store.read("stances", study="several").filter(pl.col("topic") != "law")["p_support"] > 0.5)
    assert {one.body["messages"][-1]["content"] for one in server.seen} == set(asked["prompt"])
