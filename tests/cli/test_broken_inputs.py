"""Every broken input to every command is one clear message and the documented exit code, and leaves no file behind."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from broken_files import ANY_FILE, CSV, LINES, MODELS, PARQUET, ROOTS, SOUND_STUDY, TABLES, WRONG_VALUES, YAML, Make, with_value

from valuedrift.flows.cli.main import main

OUT = "out"
_BARE = re.compile(r"^error\s+(\w+(Error|Exception)\b|'?\w+'?$|None$)")
"""A message that is nothing but what Python raised."""
_INSIDES = re.compile(r"Traceback|pydantic|Input should|object has no attribute|NoneType|<class|unhashable|subscriptable")


@dataclass(frozen=True)
class Reader:
    """A command that reads a file, and what its files are called."""

    words: str
    ending: str
    kinds: Mapping[str, Make]


_WITHOUT_NUL = {name: make for name, make in CSV.items() if name != "NUL"}
"""Judges and builders of probes let NUL bytes through: models write them."""
_NO_ANSWERS = ("cut-off line", "lists", "other keys", "huge number", "nested row")
"""Lines that a judge cannot read; nulls and numbers are answers that it says so of."""
READERS = (
    Reader("plan FILE", "yaml", YAML),
    Reader("plan FILE --check", "yml", YAML),
    Reader("run FILE", "yaml", YAML),
    Reader("explain FILE", "yaml", YAML),
    Reader("status FILE", "yaml", YAML),
    Reader("report FILE --root ROOT", "yaml", YAML),
    Reader("analyze FILE --out out.parquet", "parquet", PARQUET),
    Reader("audit FILE", "jsonl", LINES),
    Reader("audit FILE", "csv", CSV),
    Reader("audit FILE", "parquet", PARQUET),
    Reader("audit FILE", "json", LINES),
    Reader("audit FILE", "jsonl.gz", {}),
    Reader("judge run FILE --out out.parquet", "csv", {name: make for name, make in _WITHOUT_NUL.items() if name != "header only"}),
    Reader("judge run FILE --out out.parquet", "jsonl", {name: LINES[name] for name in _NO_ANSWERS}),
    Reader("judge validate FILE", "csv", CSV),
    Reader("judge validate FILE", "parquet", PARQUET),
    Reader("judge calibrate FILE --out out.json", "csv", CSV),
    Reader("judge replies FILE --out out.parquet", "sqlite", {}),
    Reader("judge run PAIRS --judge FILE --out out.parquet", "yaml", YAML),
    Reader("judge run PAIRS --set calibration=FILE --out out.parquet", "json", LINES),
    Reader("labels add demo FILE --root ROOT", "csv", CSV),
    Reader("tables import FILE --study s --root new", "parquet", PARQUET),
    Reader("tables import FILE --study s --root new", "csv", CSV),
    Reader("tables import FILE --study s --table responses --root new", "jsonl", LINES),
    Reader("probes build --source FILE --column prompt --out out.parquet --root new", "csv", _WITHOUT_NUL),
    Reader("probes build --source FILE --column prompt --out out.parquet --root new", "jsonl", {name: LINES[name] for name in _NO_ANSWERS}),
    Reader("probes build --source PAIRS --column prompt --topic-file FILE --out out.parquet --root new", "csv", CSV),
    Reader("synthesize --setting support-aligned --gap 0.4 --out out.jsonl --probes FILE --writer transformers --root new", "jsonl", LINES),
    Reader("synthesize --setting support-aligned --gap 0.4 --out out.jsonl --writer FILE --root new", "yaml", YAML),
)
OPTIONS = (
    "plan", "nonsense", "run", "judge nonsense", "tables nonsense", "labels draw",
     "sql SELEC --root ROOT", "sql 'FROM nowhere' --root ROOT", "sql 'DROP TABLE drift' --root ROOT", "sql 'SELECT 1; SELECT 2' --root ROOT",
    "sql 'COPY (SELECT 1) TO ''out.csv''' --root ROOT", "sql \"FROM read_csv('/etc/passwd')\" --root ROOT", "sql 'SELECT 1/0::INT, 1e999::INT' --root ROOT",
    "sql 'FROM drift' --rows -1 --root ROOT", "sql 'FROM drift' --format yaml --root ROOT",
     "tables export out.csv --root ROOT", "tables export out --table nothing --root ROOT",
    "tables export out --study nobody --root ROOT", "tables compact nobody --root ROOT", "tables compact demo --run nobody --root ROOT",
    "tables import PAIRS --study a/b --root new", "tables import PAIRS --study s --table nothing --root new",
    "labels show nobody --root ROOT", "labels draw demo --n 0 --root ROOT", "labels draw demo --judge nobody --out out.csv --root ROOT",
    "labels draw demo --out nowhere/out.csv --root ROOT", "labels draw demo --seed -1 --root ROOT", "labels correct demo --judge nobody --root ROOT",
    "labels correct demo --confidence 2 --root ROOT", "labels add demo nowhere.csv --root ROOT", "report nobody --root ROOT",
    "judge run PAIRS --out out.txt", "judge run PAIRS --out nowhere/out.parquet", "judge run PAIRS --judge nobody --out out.parquet",
    "judge run PAIRS --set nothing=1 --out out.parquet", "judge run PAIRS --set --out out.parquet", "judge run PAIRS --threads 0 --out out.parquet",
    "judge run PAIRS --weights nowhere --out out.parquet", "judge compare", "judge validate PAIRS --study demo", "judge validate --study nobody --root ROOT",
    "audit PAIRS --confidence nan", "audit PAIRS --rows 0", "audit PAIRS --kind nothing", "audit PAIRS --judge nobody", "audit starter:nothing",
    "synthesize --setting nothing --gap 0.4 --out out.jsonl", "synthesize --setting support-aligned --gap 2 --out out.jsonl",
    "synthesize --setting support-aligned --gap nan --out out.jsonl", "synthesize --setting support-aligned --gap x --out out.jsonl",
    "synthesize --setting support-aligned --gap 0.4 --out out.txt", "synthesize --setting support-aligned --gap 0.4 --pairs 0 --out out.jsonl",
    "synthesize --setting support-aligned --gap 0.4 --topics nothing --out out.jsonl", "synthesize --setting support-aligned --gap 0.4 --out nowhere/out.jsonl",
    "probes build --source PAIRS --column nothing --out out.parquet --root new", "probes build --source PAIRS --column prompt --out out.txt --root new",
    "probes build --source PAIRS --column prompt --language xx --out out.parquet --root new", "init nowhere/out.yaml", "watch nowhere --base nowhere --once",
    "watch nowhere --base embedded:nothing --once", "analyze nowhere", "analyze PAIRS", "analyze 'nowhere/*.parquet'", "analyze ROOT/stances --resamples 0",
    "analyze ROOT/stances --confidence 1.5",  "analyze ROOT/stances --from 5 --to 1",
    "analyze ROOT/stances --labels nowhere.csv",
    "analyze ROOT/stances --from 9223372036854775808",
)  # fmt: skip


@dataclass
class Told:
    """How a command ended."""

    code: int
    said: str


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[object]:
    """Runs a command in this process, in a folder of its own."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("OPENAI_API_KEY", "VALUEDRIFT_ROOT"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["valuedrift", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Told(int(ended.value.code or 0), captured.err)

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that can be trained."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
    from untied import save_untied

    return save_untied(tmp_path_factory.mktemp("model"))


def _words(text: str, **places: object) -> list[str]:
    import shlex

    words = shlex.split(text)
    for name, place in places.items():
        words = [word.replace(name, str(place)) for word in words]
    return words


def _check(done: Told, folder: Path, before: set[Path], codes: tuple[int, ...] = (2, 3)) -> None:
    """One clear message, a documented exit code, nothing written."""
    assert done.code in codes, done
    assert done.said.strip() and not _INSIDES.search(done.said), done.said
    assert not _BARE.search(done.said.strip()), done.said
    left = {path for path in folder.rglob(f"{OUT}*") if path not in before}
    assert not left, f"left behind: {left}"


def _pairs(folder: Path) -> Path:
    file = folder / "pairs.csv"
    file.write_text("prompt,response,stance\nShould we?,Yes we should.,support\n", encoding="utf-8")
    return file


_FILES = [
    pytest.param(reader, name, make, id=f"{' '.join(reader.words.split()[:2])} {reader.ending}: {name}")
    for reader in READERS
    for name, make in {**ANY_FILE, **reader.kinds}.items()
]


@pytest.mark.parametrize(("reader", "name", "make"), _FILES)
def test_files(reader: Reader, name: str, make: Make, told, tmp_path: Path, filled: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / f"given.{reader.ending}"
    make(file)
    done = told(*_words(reader.words, FILE=file, PAIRS=_pairs(tmp_path), ROOT=filled))
    _check(done, tmp_path, set())
    assert file.name in done.said.replace("\n", ""), done.said


@pytest.mark.parametrize("words", OPTIONS)
def test_options(words: str, told, tmp_path: Path, filled: str) -> None:  # type: ignore[no-untyped-def]
    _check(told(*_words(words, PAIRS=_pairs(tmp_path), ROOT=filled)), tmp_path, set())


@pytest.mark.parametrize("name", WRONG_VALUES)
@pytest.mark.parametrize("command", ["plan --check"])
def test_studies(command: str, name: str, told, tmp_path: Path, model: Path) -> None:  # type: ignore[no-untyped-def]
    where, value = WRONG_VALUES[name]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(with_value(where, value)), encoding="utf-8")
    shutil.copytree(model, tmp_path / "model")
    _check(told(*command.split(), str(file), "--root", str(tmp_path / "root")), tmp_path, set())


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, told, tmp_path: Path, model: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(SOUND_STUDY), encoding="utf-8")
    MODELS[name](Path(shutil.copytree(model, tmp_path / "model")))
    done = told("run", str(file), "--root", str(tmp_path / "root"))
    _check(done, tmp_path, set())
    assert str(tmp_path / "model") in done.said.replace("\n", ""), done.said


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "tables",
        "tables export out",
        "tables compact demo",
        "sql 'FROM drift'",
        "labels show demo",
        "labels draw demo --out out.csv",
    ],
)
@pytest.mark.parametrize("name", ROOTS)
def test_roots(name: str, command: str, told, tmp_path: Path, filled: str) -> None:  # type: ignore[no-untyped-def]
    root = Path(shutil.copytree(filled, tmp_path / "root"))
    ROOTS[name](root)
    _check(told(*_words(command), "--root", str(root)), tmp_path, set())


@pytest.mark.parametrize(
    "command",
    [
        "sql 'SELECT count(judge) FROM stances'",
        "tables export out --table stances",
        "analyze ROOT/stances",
        "labels draw demo --out out.csv",
    ],
)
@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str, command: str, told, tmp_path: Path, filled: str) -> None:  # type: ignore[no-untyped-def]
    root = Path(shutil.copytree(filled, tmp_path / "root"))
    TABLES[name](root)
    words = _words(command, ROOT=root)
    _check(told(*words, *(() if words[0] == "analyze" else ("--root", str(root)))), tmp_path, set())


def test_the_study_that_the_others_are_made_of_is_sound(told, tmp_path: Path, model: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(SOUND_STUDY), encoding="utf-8")
    shutil.copytree(model, tmp_path / "model")
    assert told("plan", "--check", str(file), "--root", str(tmp_path / "root")).code == 0


@pytest.mark.parametrize("words", ["plan FILE", "analyze FILE", "audit FILE"])
def test_a_real_process_tells_the_same(words: str, tmp_path: Path) -> None:
    file = tmp_path / "given.yaml"
    file.write_bytes(b"[" * 5000)
    done = subprocess.run(
        [sys.executable, "-m", "valuedrift.flows.cli.main", *_words(words, FILE=file)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    _check(Told(done.returncode, done.stderr), tmp_path, set())
