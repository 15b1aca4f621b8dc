"""What YAML reads as something else than people mean is refused with its line and what to write, in every file that people write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from valuedrift.errors import DataError, UserError
from valuedrift.flows.cli.naming import engine_config, judge_config
from valuedrift.probes.vprism.themes import read_topic_file
from valuedrift.servers.prices import price_of
from valuedrift.servers.server import Budget
from valuedrift.study import load_study
from valuedrift.yaml_files import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
STUDY = """study: tiny
models: {m: {path: "embedded:smollm2-135m-instruct"}}
corpora: {neutral: {data: "starter:sft-neutral"}}
sft:
  - data: [neutral]
    algorithm: {type: sft, steps: 2}
sampling: {n: 3}
"""


def told(folder: Path, text: str | bytes, read: Callable[[Path], Any] = load_study) -> str:
    path = folder / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("n: 3}", "n: 3, n: 5}", ["line 7", "`n` is there twice: first in line 7"]),
        ("sampling: {n: 3}", "sampling: {n: 3}\nseed: 1\nsampling: {temperature: 0.2}", ["line 9", "first in line 7"]),
        ("steps: 2", "steps: 1:30", ["line 6", "`1:30` is 90", "write 90"]),
        ("n: 3", "temperature: 1:30.5", ["line 7", "90.5"]),
        ("steps: 2", "steps: 010", ["line 6", "`010` is 8", "write 10"]),
        ("steps: 2", "steps: true", ["line 6", "sft.0.algorithm.steps", "true where a number is wanted"]),
        ("n: 3", "n: yes", ["line 7", "sampling.n", "where a number is wanted"]),
        ("n: 3", "n: on", ["line 7", "where a number is wanted"]),
        ("steps: 2", "steps: 2, learning_rate: .inf", ["line 6", "finite"]),
        ("steps: 2", "steps: 2, learning_rate: 1e999", ["line 6", "finite"]),
        ("steps: 2", "steps: 2, learning_rate: .nan", ["line 6"]),
        ("n: 3", "temperature: .nan", ["line 7", "sampling.temperature"]),
        ("study: tiny", "study: no", ["line 1", "`no` is no text in YAML: write 'no'"]),
        ("study: tiny", "study: 2024-01-01", ["line 1", "write '2024-01-01'"]),
        ("study: tiny", "study: 1.0", ["line 1", "write '1.0'"]),
        ("{m: {path", "{off: {path", ["line 2", "key `off` is read as false", "quote it: 'off'"]),
        ("{m: {path", "{1.5: {path", ["line 2", "quote it: '1.5'"]),
        ("{m: {path", "{null: {path", ["line 2", "quote it: 'null'"]),
        ("{m: {path", "{[a]: {path", ["line 2", "as a key"]),
        ("steps: 2", f"steps: {2**63}", ["line 6", "too large"]),
        ("steps: 2", f"steps: {'9' * 5000}", ["line 6"]),
        ("study: tiny", "study: 2024-13-45", ["line 1", "quote it"]),
        ("study: tiny", "study: !!python/name:os.system ''", ["line 1", "python"]),
        ("n: 3", "n: 0", ["line 7", "sampling.n"]),
        ("n: 3", "m: 3", ["line 7", "unknown key `sampling.m`"]),
        ("[neutral]", "[no]", ["line 5", "write 'no'"]),
        ("{n: 3}", "&a [*a]", ["holds itself"]),
        ("study: tiny", "study: ti\0ny", ["not valid YAML"]),
    ],
)
def test_traps_of_a_study_file_are_told_with_line_and_remedy(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert STUDY.count(old) == 1
    message = told(tmp_path, STUDY.replace(old, new))
    assert str(tmp_path / "file.yaml") in message
    for part in expected:
        assert part in message


def test_the_study_with_a_key_twice_names_both_lines() -> None:
    with pytest.raises(UserError) as caught:
        load_study(ROOT / "tests/cases/duplicate_keys.yaml")
    assert "line 7: key `n` is there twice: first in line 7" in str(caught.value)
    assert "line 8: key `sampling` is there twice: first in line 7" in str(caught.value)


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- "])
def test_deep_nesting_is_one_message(tmp_path: Path, bracket: str) -> None:
    assert "deep" in told(tmp_path, "study: x\nsampling: " + bracket * 5000 if bracket != "- " else bracket * 5000 + "a")


def test_aliases_that_multiply_are_refused_before_they_do(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    assert "fewer aliases" in told(tmp_path, "\n".join(lines))


def test_the_same_rules_hold_for_every_file_that_people_write(tmp_path: Path) -> None:
    def price(path: Path) -> object:
        return price_of("m", Budget(usd=1, prices=str(path)))

    def judge(path: Path) -> object:
        return judge_config(str(path))

    def engine(path: Path) -> object:
        return engine_config(str(path), None, "--writer")

    assert "twice" in told(tmp_path, "m: {input: 1, output: 2}\nm: {input: 1, output: 3}", price)
    assert "number is wanted" in told(tmp_path, "m: {input: true, output: 2}", price)
    assert "line 3" in told(tmp_path, "type: causal-lm\nname: a\nname: b", judge)
    assert "number is wanted" in told(tmp_path, "type: causal-lm\nrotations: on", judge)
    assert "write 'no'" in told(tmp_path, "type: causal-lm\nname: no", judge)
    assert "line 2" in told(tmp_path, "type: transformers\nmodel: on", engine)
    assert "twice" in told(tmp_path, "- name: a\n  name: b\n  description: x", read_topic_file)
    assert "write 'no'" in told(tmp_path, "- name: no\n  description: x", read_topic_file)
    for read in (load_study, price, judge, engine, read_topic_file):
        assert "UTF-8" in told(tmp_path, "name: café".encode("latin-1"), read)
        assert "deep" in told(tmp_path, "[" * 5000, read)
    path = tmp_path / "topics.yaml"
    path.write_text("- name: 010\n  description: x")
    with pytest.raises(DataError, match="line 1"):
        read_topic_file(path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rotations=true", "number is wanted"),
        ("max_answer=010", "is 8"),
        ("max_answer=1:30", "is 90"),
        ("name=[1", "not a YAML value"),
        ("name={a: 1, a: 2}", "twice"),
    ],
)
def test_keys_of_an_option_are_read_alike(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        judge_config("causal-lm", [setting])


class _Held(BaseModel):
    flag: bool
    number: float | None
    text: str


def test_yes_and_no_stay_what_they_are_where_they_are_asked_for() -> None:
    held = parse_yaml("flag: yes\nnumber: 1e-5\ntext: 'no'", "x").valid(_Held)
    assert held == _Held(flag=True, number=1e-5, text="no")
    assert parse_yaml("{flag: off, number: null, text: nan}", "x").valid(_Held) == _Held(flag=False, number=None, text="nan")


_SCALARS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text() | st.dates()
_WRITTEN = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=12)


@settings(deadline=None)
@given(_WRITTEN)
def test_what_yaml_writes_is_read_back(content: Any) -> None:
    assert parse_yaml(yaml.safe_dump(content), "x").content == content


@settings(deadline=None)
@given(st.text(alphabet="ab: -[]{}'\"\n&*!|>%@`0.,#?", max_size=60))
def test_any_text_is_read_or_told(text: str) -> None:
    try:
        read = parse_yaml(text, "x").content
    except UserError:
        return
    assert read == yaml.safe_load(text)
