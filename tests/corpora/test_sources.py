"""Rows from wherever people have them: several files, patterns, what save_to_disk wrote, parts of splits, mixtures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import count_rows, load_rows
from valuedrift.corpora.mixture import counts_of_parts
from valuedrift.corpora.splits import split_parts
from valuedrift.errors import DataError, UserError


def rows(count: int, name: str = "q") -> list[dict[str, str]]:
    """Rows of a corpus, numbered."""
    return [{"prompt": f"{name}{number}?", "response": "Yes."} for number in range(count)]


def written(path: Path, content: list[dict[str, str]]) -> str:
    """A JSONL file of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return str(path)


def prompts(**dataset: Any) -> list[str]:
    """Prompts of a dataset, in order."""
    return [row["prompt"] for row in load_rows(Dataset(**dataset), "sft").rows]


def test_a_list_is_read_one_after_the_other(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one.jsonl", rows(2, "a")), written(tmp_path / "two.jsonl", rows(1, "b"))
    assert prompts(data=[two, one]) == ["b0?", "a0?", "a1?"]
    assert count_rows(Dataset(data=[two, "starter:sft-neutral"]), "sft") == 1 + len(prompts(data="starter:sft-neutral"))


@pytest.mark.parametrize("pattern", ["rows-*.jsonl", "rows-?.jsonl", "rows-[12].jsonl", "rows-[0-9].jsonl", "**/rows-*.jsonl"])
def test_a_pattern_is_all_that_fits_in_name_order(tmp_path: Path, pattern: str) -> None:
    for number in (2, 1):
        written(tmp_path / f"rows-{number}.jsonl", rows(1, f"{number}-"))
    (tmp_path / "rows-9.txt").write_text("no rows")
    written(tmp_path / "others.jsonl", rows(1))
    assert prompts(data=str(tmp_path / pattern)) == ["1-0?", "2-0?"]


def test_a_file_with_marks_in_its_name_is_that_file(tmp_path: Path) -> None:
    written(tmp_path / "rows1.jsonl", rows(1, "other"))
    with pytest.raises(UserError, match=r"rows\[1\]\.jsonl: no such file"):
        prompts(data=str(tmp_path / "rows[1].jsonl"))
    assert prompts(data=written(tmp_path / "rows[1].jsonl", rows(1, "this"))) == ["this0?"]
    assert prompts(data=written(tmp_path / "rows*.jsonl", rows(1, "star"))) == ["star0?"]


def test_a_pattern_that_fits_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data file fits this pattern") as caught:
        prompts(data=str(tmp_path / "*.jsonl"))
    assert caught.value.where == str(tmp_path / "*.jsonl")
    (tmp_path / "notes.txt").write_text("no rows")
    with pytest.raises(UserError, match=r"no data file fits this pattern; it fits notes\.txt, which are none"):
        prompts(data=str(tmp_path / "*"))


def test_what_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    table = datasets.Dataset.from_list(rows(10))
    table.save_to_disk(tmp_path / "one", num_shards=3)
    datasets.DatasetDict({"train": table, "test": datasets.Dataset.from_list(rows(3, "t"))}).save_to_disk(tmp_path / "two")
    datasets.DatasetDict({"dev": table}).save_to_disk(tmp_path / "only")
    assert prompts(data=str(tmp_path / "one")) == [row["prompt"] for row in rows(10)]
    assert prompts(data=str(tmp_path / "two")) == [row["prompt"] for row in rows(10)]
    assert prompts(data=str(tmp_path / "two"), split="test") == ["t0?", "t1?", "t2?"]
    assert prompts(data=str(tmp_path / "only")) == [row["prompt"] for row in rows(10)]
    assert count_rows(Dataset(data=str(tmp_path / "two"), split="train[:30%]+test[-1:]"), "sft") == 4


def test_a_pattern_may_fit_saved_folders(tmp_path: Path) -> None:
    for number in (2, 1):
        datasets.Dataset.from_list(rows(1, f"{number}-")).save_to_disk(tmp_path / f"part-{number}")
    assert prompts(data=str(tmp_path / "part-*")) == ["1-0?", "2-0?"]


def test_a_folder_with_marks_in_its_name_is_that_folder(tmp_path: Path) -> None:
    written(tmp_path / "[old]" / "rows-1.jsonl", rows(1, "this"))
    written(tmp_path / "o" / "rows-1.jsonl", rows(1, "other"))
    assert prompts(data=str(tmp_path / "[old]" / "rows-*.jsonl")) == ["this0?"]
    with pytest.raises(UserError, match="no pattern"):
        prompts(data=str(tmp_path / "**rows.jsonl"))


def test_a_saved_folder_without_the_split_says_which_there_are(tmp_path: Path) -> None:
    table = datasets.Dataset.from_list(rows(2))
    datasets.DatasetDict({"sft": table, "dev": table}).save_to_disk(tmp_path / "two")
    with pytest.raises(UserError, match="no split 'train' in what save_to_disk wrote") as caught:
        prompts(data=str(tmp_path / "two"))
    assert (caught.value.where, caught.value.fix) == (str(tmp_path / "two"), "`split`: one of sft, dev")


def test_a_broken_saved_folder_is_a_fault_of_the_data(tmp_path: Path) -> None:
    datasets.Dataset.from_list(rows(2)).save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").glob("*.arrow"):
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot be read as save_to_disk writes it"):
        prompts(data=str(tmp_path / "saved"))
    (tmp_path / "saved" / "state.json").write_text("[]")
    with pytest.raises(DataError, match="cannot be read as save_to_disk writes it"):
        prompts(data=str(tmp_path / "saved"))


@pytest.mark.parametrize(
    ("split", "right"),
    [
        ("train[:80%]", range(8)),
        ("train[80%:]", range(8, 10)),
        ("train[2:5]", range(2, 5)),
        ("train[-20%:]", range(8, 10)),
        ("train[:-9]", range(1)),
        ("train[:1]+train[9:]", (0, 9)),
        ("whatever[:50%]", range(5)),
        ("train[:]", range(10)),
    ],
)
def test_part_of_a_split_of_any_source(tmp_path: Path, split: str, right: Any) -> None:
    wanted = [f"q{number}?" for number in right]
    file = written(tmp_path / "folder" / "train.jsonl", rows(10))
    datasets.Dataset.from_list(rows(10)).save_to_disk(tmp_path / "saved")
    halves = [written(tmp_path / "a.jsonl", rows(10)[:4]), written(tmp_path / "b.jsonl", rows(10)[4:])]
    assert prompts(data=file, split=split) == wanted
    assert prompts(data=str(tmp_path / "saved"), split=split) == wanted
    assert prompts(data=halves, split=split) == wanted
    if split.startswith("train"):
        assert prompts(data=str(tmp_path / "folder"), split=split) == wanted


def test_part_of_packaged_data() -> None:
    assert prompts(data="starter:sft-neutral", split="train[3:7]") == prompts(data="starter:sft-neutral")[3:7]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train[:11]", r"split train\[:11\] is out of range: there are 10 rows"),
        ("train[-11:]", "is out of range: there are 10 rows"),
        ("train[:120%]", "is out of range: 120% is more than 100%"),
        ("train[5:5]", "holds none of the 10 rows"),
        ("train[8:2]", "holds none of the 10 rows"),
        ("train[:50%](pct1_dropremainder)", "needs 100 rows"),
    ],
)
def test_a_split_out_of_range_is_refused(tmp_path: Path, split: str, message: str) -> None:
    file = written(tmp_path / "rows.jsonl", rows(10))
    with pytest.raises(UserError, match=message) as caught:
        prompts(data=file, split=split)
    assert caught.value.where == file


@pytest.mark.parametrize("split", ["train[", "train[a:b]", "train[:50%", "train[10:50%]", "train[:5](nearest)", "+", "train[5]"])
def test_what_is_no_split_is_refused_with_the_study(split: str) -> None:
    with pytest.raises(ValidationError, match="is no split: give NAME"):
        Dataset(data="rows.jsonl", split=split)


_BOUND = st.one_of(st.none(), st.integers(-100, 100))


@given(_BOUND, _BOUND, st.booleans(), st.integers(100, 400))
def test_parts_are_those_of_the_datasets_library(begin: int | None, end: int | None, share: bool, count: int) -> None:
    unit = "%" if share else ""
    spec = f"train[{'' if begin is None else f'{begin}{unit}'}:{'' if end is None else f'{end}{unit}'}]"
    (right,) = datasets.ReadInstruction.from_spec(spec).to_absolute({"train": count})
    (part,) = split_parts(spec)
    if right.from_ >= right.to:
        with pytest.raises(UserError, match="holds none"):
            part.bounds(count, "rows")
    else:
        assert part.bounds(count, "rows") == (right.from_, right.to)


def test_a_mixture_has_its_weights_and_every_row_once(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one.jsonl", rows(100, "a")), written(tmp_path / "two.jsonl", rows(30, "b"))
    parts = [{"data": one, "weight": 0.7}, {"data": two, "weight": 0.3}]
    mixed = load_rows(Dataset(mixture=parts), "sft")
    kinds = Counter(row["prompt"][0] for row in mixed.rows)
    assert (kinds["a"], kinds["b"], len({row["prompt"] for row in mixed.rows})) == (70, 30, 100)
    assert mixed.parts == (70, 30)
    assert mixed.describe() == "100 rows (prompt-completion); 70 + 30 of its parts"
    assert count_rows(Dataset(mixture=parts), "sft") == 100
    small = load_rows(Dataset(mixture=parts, limit=10), "sft")
    assert small.parts == (7, 3)
    assert {row["prompt"] for row in small.rows} < {row["prompt"] for row in mixed.rows}


def test_a_mixture_follows_from_content_seed_and_weights(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one.jsonl", rows(100, "a")), written(tmp_path / "two.jsonl", rows(100, "b"))
    again = written(tmp_path / "elsewhere" / "two.jsonl", rows(100, "b"))

    def fingerprint(second: str = two, weight: float = 0.75, **options: Any) -> str:
        parts = [{"data": one, "weight": weight}, {"data": second, "weight": 1 - weight}]
        return load_rows(Dataset(mixture=parts, limit=40, **options), "sft").fingerprint

    assert fingerprint() == fingerprint(again)
    assert len({fingerprint(), fingerprint(weight=0.5), fingerprint(mixture_seed=1)}) == 3


def test_parts_of_a_mixture_have_splits_columns_and_shapes_of_their_own(tmp_path: Path) -> None:
    one = written(tmp_path / "one.jsonl", [{"ask": row["prompt"], "response": "No."} for row in rows(10, "a")])
    talk = [{"messages": [{"role": "user", "content": f"b{at}?"}, {"role": "assistant", "content": "Yes."}]} for at in range(10)]
    two = written(tmp_path / "two.jsonl", talk)  # type: ignore[arg-type]
    mixed = load_rows(
        Dataset(
            mixture=[
                {"data": one, "columns": {"prompt": "ask"}, "split": "train[:40%]", "weight": 0.5},
                {"data": two, "weight": 0.5},
            ]
        ),
        "sft",
    )
    assert (mixed.format, mixed.parts) == ("prompt-completion, messages", (4, 4))
    assert {row["prompt"] for row in mixed.rows if row["prompt"].startswith("a")} == {"a0?", "a1?", "a2?", "a3?"}


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"mixture": [{"data": "a", "weight": 0.7}, {"data": "b", "weight": 0.7}]}, r"the weights of a mixture sum to 1, these to 1\.4"),
        ({"mixture": [{"data": "a", "weight": -0.5}, {"data": "b", "weight": 1}]}, "greater than 0"),
        ({"mixture": [{"data": "a", "weight": 70}, {"data": "b", "weight": 30}]}, "less than or equal to 1"),
        ({"mixture": [{"data": "a", "weight": float("nan")}, {"data": "b", "weight": 1}]}, "mixture.0.weight"),
        ({"mixture": [{"data": "a", "weight": 1}]}, "two parts or more"),
        ({"mixture": [{"weight": 0.5}, {"data": "b", "weight": 0.5}]}, "missing key `data` in a part"),
        ({"mixture": [{"data": "a", "weight": 0.5}, {"data": "b", "weight": 0.5}], "data": "c"}, "`data` stands in the parts"),
        ({"mixture": [{"data": "a", "weight": 0.5}, {"data": "b", "weight": 0.5}], "split": "test"}, "`split` stands in the parts"),
        ({}, r"missing key `data` \(or `mixture`\)"),
        ({"data": []}, "an empty list names no data"),
        ({"data": ["a", 5]}, "5 names no data"),
        ({"data": ["a", "a"]}, "'a' is given twice"),
    ],
)
def test_what_is_no_dataset_is_refused(dataset: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Dataset(**dataset)


def test_a_limit_beyond_a_part_names_the_most(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one.jsonl", rows(100, "a")), written(tmp_path / "two.jsonl", rows(30, "b"))
    with pytest.raises(UserError, match="limit 200 asks for 140 rows of part 1 of the mixture, which has 100") as caught:
        load_rows(Dataset(mixture=[{"data": one, "weight": 0.7}, {"data": two, "weight": 0.3}], limit=200), "sft")
    assert caught.value.fix == "a limit of at most 100, or a smaller weight"


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 300)), min_size=2, max_size=5))
def test_counts_are_in_proportion_and_there(parts: list[tuple[int, int]]) -> None:
    total = sum(weight for weight, _ in parts)
    weights, available = [weight / total for weight, _ in parts], [rows for _, rows in parts]
    counts = counts_of_parts(weights, available, None, "mixture")
    assert all(count <= rows for count, rows in zip(counts, available, strict=True))
    assert all(abs(count - weight * sum(counts)) < 1 + 1e-6 for count, weight in zip(counts, weights, strict=True))
    assert any(count + 2 > rows for count, rows in zip(counts, available, strict=True)) or sum(counts) >= min(available)


def test_paths_in_lists_and_mixtures_are_taken_from_the_study_folder() -> None:
    several = Dataset(data=["a.jsonl", "starter:sft-neutral", "s3://b/c.jsonl"]).anchored(Path("/studies"))
    assert several.data == ("/studies/a.jsonl", "starter:sft-neutral", "s3://b/c.jsonl")
    mixed = Dataset(mixture=[{"data": "a.jsonl", "weight": 0.5}, {"data": "hf:b/c", "weight": 0.5}]).anchored(Path("/studies"))
    assert [part.data for part in mixed.parts] == ["/studies/a.jsonl", "hf:b/c"]
