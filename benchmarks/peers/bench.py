"""valuedrift beside its peers on one workload, in turns: ``make bench-peers``.

Questions are asked of a checkpoint several times each, and the answers to them judged by log-probabilities of three options after the same prompt, by the same
model, in whole processes as a user starts them. Then the same with a second checkpoint, in the way that each peer has for it: one process for both where it
can, a further process where not. Every turn runs every peer once, so that a busy minute hits all of them; medians over turns are compared.

Set by the environment: ``PEERS_QUESTIONS`` (60), ``PEERS_SAMPLES`` (5), ``PEERS_TURNS`` (3), ``PEERS`` (names, by semicolons: some of
them), ``PEERS_FOLDER`` (for the workload and what the peers write).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

HERE = Path(__file__).parent
CHECKPOINTS = ("first", "second")
QUESTIONS = int(os.environ.get("PEERS_QUESTIONS", "60"))
SAMPLES = int(os.environ.get("PEERS_SAMPLES", "5"))
TURNS = int(os.environ.get("PEERS_TURNS", "3"))
FOLDER = Path(os.environ.get("PEERS_FOLDER", Path(gettempdir()) / "valuedrift-peers"))
JUDGED = FOLDER / "checkpoint-first"
"""The model that judges, whoever answered."""

Commands = list[list[str]]


@dataclass(frozen=True)
class Environments:
    """Where the peers are installed: folders of virtual environments."""

    project: Path
    vllm: Path
    peers: Path


@dataclass(frozen=True)
class Peer(ABC):
    """Something that samples and judges.

    Attributes:
        name: As printed.
        python: Its environment.
    """

    name: str
    python: Path

    @abstractmethod
    def sample(self, checkpoints: Sequence[str]) -> Commands:
        """Commands that sample checkpoints, one after another."""

    @abstractmethod
    def judge(self, checkpoints: Sequence[str]) -> Commands:
        """Commands that judge what was answered by checkpoints."""

    def fault(self) -> str | None:
        """What went wrong in its last process though that ended well; None: nothing."""
        return None


@dataclass(frozen=True)
class Valuedrift(Peer):
    """The command line of this project.

    Attributes:
        engine: Its engine.
    """

    engine: str

    def sample(self, checkpoints: Sequence[str]) -> Commands:
        """All checkpoints in one process."""
        folders = [str(FOLDER / f"checkpoint-{name}") for name in checkpoints]
        steps = [argument for step in range(len(folders)) for argument in ("--step", str(step))]
        drawing = ["--set", f"n={SAMPLES}", "--set", "temperature=0.7", "--set", "max_new_tokens=48"]
        asked = ["--probes", str(FOLDER / "probes.jsonl"), "--engine", self.engine, "--engine-set", "dtype=float32"]
        return [[*self._command, "sample", *folders, *steps, *asked, *drawing, "--out", str(FOLDER / "answers.parquet")]]

    def judge(self, checkpoints: Sequence[str]) -> Commands:
        """All answers in one process."""
        keys = {"engine.type": self.engine, "engine.model": JUDGED, "engine.dtype": "float32", "rotations": 1}
        named = [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
        pairs = str(FOLDER / f"pairs-{len(checkpoints)}.jsonl")
        return [[*self._command, "judge", "run", "--judge", "causal-lm", *named, pairs, "--out", str(FOLDER / "stances.parquet")]]

    @property
    def _command(self) -> list[str]:
        return [str(self.python), "-m", "valuedrift.flows.cli.main"]


@dataclass(frozen=True)
class LmEval(Peer):
    """lm-evaluation-harness with its models of transformers."""

    def sample(self, checkpoints: Sequence[str]) -> Commands:
        """A process a checkpoint."""
        return [self._run("peers_sampling", FOLDER / f"checkpoint-{name}") for name in checkpoints]

    def judge(self, checkpoints: Sequence[str]) -> Commands:
        """All answers in one process."""
        return [self._run(f"peers_judging_{len(checkpoints)}", JUDGED)]

    def _run(self, task: str, model: Path) -> list[str]:
        options = {
            "--model": "hf",
            "--model_args": f"pretrained={model},dtype=float32",
            "--tasks": task,
            "--include_path": FOLDER / "tasks",
        }
        options |= {"--batch_size": 64, "--device": "cpu", "--output_path": FOLDER / "lm-eval"}
        return [str(self.python.parent / "lm_eval"), "run", "--apply_chat_template", "--log_samples", *_words(options)]


@dataclass(frozen=True)
class InspectAI(Peer):
    """inspect-ai with its models of transformers."""

    def sample(self, checkpoints: Sequence[str]) -> Commands:
        """A process a checkpoint."""
        return [self._run("sampling", "questions.jsonl", FOLDER / f"checkpoint-{name}") for name in checkpoints]

    def judge(self, checkpoints: Sequence[str]) -> Commands:
        """All answers in one process."""
        return [self._run("judging", f"judged-{len(checkpoints)}.jsonl", JUDGED)]

    def _run(self, task: str, asked: str, model: Path) -> list[str]:
        options = {"--model": "hf/local", "--max-connections": 64, "--display": "none", "--log-dir": self._logs, "--log-format": "json"}
        of_model = [("-M", f"model_path={model}"), ("-M", "device=cpu"), ("-M", "dtype=float32"), ("-T", f"asked={FOLDER / asked}")]
        given = [part for pair in of_model for part in pair]
        return [str(self.python.parent / "inspect"), "eval", f"{HERE / 'inspect_tasks.py'}@{task}", *given, *_words(options)]

    def fault(self) -> str | None:
        """What its log says: its command ends well though a task failed."""
        log = json.loads(max(self._logs.glob("*.json")).read_text(encoding="utf-8"))
        return None if log["status"] == "success" else str(log.get("error") or log["status"])

    @property
    def _logs(self) -> Path:
        return FOLDER / "inspect"


@dataclass(frozen=True)
class RawVllm(Peer):
    """A script that does nothing but call vLLM."""

    def sample(self, checkpoints: Sequence[str]) -> Commands:
        """A process a checkpoint."""
        return [self._run("sample", "questions.jsonl", FOLDER / f"checkpoint-{name}") for name in checkpoints]

    def judge(self, checkpoints: Sequence[str]) -> Commands:
        """All answers in one process."""
        return [self._run("judge", f"judged-{len(checkpoints)}.jsonl", JUDGED)]

    def _run(self, what: str, asked: str, model: Path) -> list[str]:
        given = [what, FOLDER / asked, model, FOLDER / f"vllm-{what}.jsonl"]
        return [str(self.python), str(HERE / "raw_vllm.py"), *map(str, given)]


def _words(options: Mapping[str, object]) -> list[str]:
    return [str(word) for option in options.items() for word in option]


def main() -> None:
    """Make the workload, run all peers in turns, print medians and ratios."""
    read = argparse.ArgumentParser(description=__doc__)
    for name in ("project", "vllm", "peers"):
        read.add_argument(f"--{name}", type=lambda text: Path(text).absolute(), required=True)
    environments = Environments(**vars(read.parse_args()))
    peers = _peers(environments)
    _workload(environments)
    seconds: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
    for turn in range(TURNS):
        for peer in peers[turn % len(peers) :] + peers[: turn % len(peers)]:
            seconds[peer.name].append(_turn(peer))
            (FOLDER / "seconds.json").write_text(json.dumps(seconds, indent=1), encoding="utf-8")
            told = ", ".join(f"{what} {took:.0f} s" for what, took in seconds[peer.name][-1].items())
            print(f"turn {turn + 1} of {TURNS}: {peer.name}: {told}", flush=True)
    print(
        f"\n{QUESTIONS} questions, {SAMPLES} answers each of 48 tokens, {QUESTIONS * SAMPLES} judged; seconds, medians of {TURNS} turns\n"
    )
    print(table({name: medians(turns) for name, turns in seconds.items()}))


def medians(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Medians over turns: sampling and judging of the first checkpoint, all of it, and what a second adds."""
    each = [
        {
            "sampling": one["sample 1"],
            "judging": one["judge 1"],
            "first": one["sample 1"] + one["judge 1"],
            "second": one["sample 2"] + one["judge 2"] - one["sample 1"] - one["judge 1"],
        }
        for one in turns
    ]
    return {key: statistics.median(one[key] for one in each) for key in each[0]}


def table(seconds: Mapping[str, Mapping[str, float]]) -> str:
    """A table in Markdown: seconds of each peer, and how many times as long as the first of them it takes."""
    own = next(iter(seconds.values()))
    lines = ["| | sampling | judging | first checkpoint | second checkpoint |", "|---|---|---|---|---|"]
    for name, of in seconds.items():
        cells = [f"{took:.0f} ({took / own[what]:.2f})" for what, took in of.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _peers(environments: Environments) -> list[Peer]:
    def python(folder: Path) -> Path:
        return folder / "bin" / "python"

    found: list[Peer] = [
        Valuedrift("valuedrift, transformers", python(environments.project), engine="transformers"),
        Valuedrift("valuedrift, vllm", python(environments.vllm), engine="vllm"),
        LmEval("lm-evaluation-harness", python(environments.peers / "lm-eval")),
        InspectAI("inspect-ai", python(environments.peers / "inspect-ai")),
        RawVllm("raw vLLM", python(environments.vllm)),
    ]
    wanted = os.environ.get("PEERS")
    if wanted is None:
        return found
    names = [name.strip() for name in wanted.split(";")]
    if unknown := set(names) - {peer.name for peer in found}:
        sys.exit(f"PEERS: no such peer: {', '.join(sorted(unknown))}; of: {'; '.join(peer.name for peer in found)}")
    return [peer for peer in found if peer.name in names]


def _workload(environments: Environments) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    python = environments.project / "bin" / "python"
    subprocess.run([python, HERE / "workload.py", FOLDER, str(QUESTIONS), str(SAMPLES)], check=True)
    tasks = {"peers_sampling": _lm_eval_sampling(), **{f"peers_judging_{count}": _lm_eval_judging(count) for count in (1, 2)}}
    (FOLDER / "tasks").mkdir()
    for name, task in tasks.items():
        (FOLDER / "tasks" / f"{name}.yaml").write_text(json.dumps({"task": name, **task}), encoding="utf-8")


def _lm_eval_sampling() -> dict[str, object]:
    """Several answers to each question, as a task of lm-evaluation-harness."""
    return {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(FOLDER / "questions.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{text}}",
        "doc_to_target": "",
        "repeats": SAMPLES,
        "generation_kwargs": {"do_sample": True, "temperature": 0.7, "max_gen_toks": 48, "until": []},
        "metric_list": [{"metric": "bypass"}],
    }


def _lm_eval_judging(checkpoints: int) -> dict[str, object]:
    """The log-probabilities of three options after the judge's prompts, as a task of lm-evaluation-harness."""
    return {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(FOLDER / f"judged-{checkpoints}.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": ["A", "B", "C"],
        "doc_to_target": 0,
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }


def _turn(peer: Peer) -> dict[str, float]:
    """Seconds of each part of the workload: with one checkpoint, and with two."""
    found = {}
    for count in (1, 2):
        for what, commands in (("sample", peer.sample(CHECKPOINTS[:count])), ("judge", peer.judge(CHECKPOINTS[:count]))):
            begun = time.monotonic()
            for command in commands:
                _run(peer, command)
            found[f"{what} {count}"] = time.monotonic() - begun
    return found


def _run(peer: Peer, command: Sequence[str]) -> None:
    variables = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(FOLDER / "hf"), "TOKENIZERS_PARALLELISM": "false"}
    variables |= {"PEERS_SAMPLES": str(SAMPLES), "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    variables["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin while they wait make a busy machine many times slower, for all of them
    ran = subprocess.run(command, env={**os.environ, **variables}, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    fault = f"it ended with {ran.returncode}" if ran.returncode else peer.fault()
    if fault is not None:
        sys.exit(f"{peer.name}: {fault}\n{shlex.join(command)}\n{ran.stdout[-4000:]}")


if __name__ == "__main__":
    main()
