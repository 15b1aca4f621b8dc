"""The child process: results, faults, crashes, signals, timeouts, and no orphans. Real children, a tiny real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest

from valuedrift.engines.job import SampleJob
from valuedrift.errors import StageError, UserError
from valuedrift.jobs import ChildPool, Supervisor
from valuedrift.progress import Progress
from valuedrift.sampling import Sampling
from valuedrift.weights import Weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """A tiny random Llama with a word tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = {word: index for index, word in enumerate(["<pad>", "<eos>", "<unk>", *(f"w{i}" for i in range(61))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
        eos_token_id=1,
        max_position_embeddings=8192,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return Weights(base=folder)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "child.log", threads=1)
    yield supervisor
    supervisor.close()


def job(folder: Path, weights: Weights, *, n: int = 2, tokens: int = 5, fingerprint: str | None = None) -> SampleJob:
    folder.mkdir(parents=True, exist_ok=True)
    prompts = folder / "prompts.json"
    prompts.write_text(json.dumps([{"prompt_id": f"p{i}", "text": f"w{i} w{i + 1}"} for i in range(3)]), encoding="utf-8")
    return SampleJob(
        engine="transformers",
        dtype="float32",
        weights=weights,
        fingerprint=fingerprint or weights.fingerprint(),
        prompts=prompts,
        sampling=Sampling(n=n, max_new_tokens=tokens),
        out=folder / "out.parquet",
        threads=1,
        device="cpu",
    )


def endless(folder: Path, weights: Weights) -> SampleJob:
    """A job that takes minutes."""
    return job(folder, weights, n=400, tokens=4000)


def children() -> list[psutil.Process]:
    """Children of this process that do jobs (other tests' servers are children too)."""
    return [
        child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE and "valuedrift.jobs" in child.cmdline()
    ]


def test_a_result_comes_back_with_progress_and_the_child_is_kept(child: Supervisor, tmp_path: Path, model: Weights) -> None:
    seen: list[Progress] = []
    result = child.run(job(tmp_path / "a", model), tmp_path / "a", progress=seen.append)
    assert result["rows"] == pl.read_parquet(tmp_path / "a" / "out.parquet").height == 6
    assert seen and seen[-1].done == seen[-1].total
    (first,) = children()
    child.run(job(tmp_path / "b", model), tmp_path / "b")
    assert [process.pid for process in children()] == [first.pid]
    assert pl.read_parquet(tmp_path / "a" / "out.parquet").equals(pl.read_parquet(tmp_path / "b" / "out.parquet"))


def test_a_users_fault_keeps_its_parts_and_the_child(child: Supervisor, tmp_path: Path, model: Weights) -> None:
    missing = Weights(base=tmp_path / "nowhere")
    with pytest.raises(UserError, match="no such model folder") as caught:
        child.run(job(tmp_path / "a", missing, fingerprint="0"), tmp_path / "a")
    assert caught.value.where == str(tmp_path / "nowhere") and not isinstance(caught.value, StageError)
    assert child.run(job(tmp_path / "b", model), tmp_path / "b")["rows"] == 6


def test_weights_that_changed_under_their_path_are_refused(child: Supervisor, tmp_path: Path, model: Weights) -> None:
    with pytest.raises(StageError, match="the weights changed"):
        child.run(job(tmp_path / "a", model, fingerprint="somethingelse"), tmp_path / "a")


def test_a_killed_child_is_told_with_its_signal_and_the_next_job_works(child: Supervisor, tmp_path: Path, model: Weights) -> None:
    def kill_soon() -> None:
        while not children():
            time.sleep(0.05)
        time.sleep(1)
        children()[0].send_signal(signal.SIGKILL)

    threading.Thread(target=kill_soon).start()
    with pytest.raises(StageError, match="SIGKILL.*" if os.name == "posix" else ""):
        child.run(endless(tmp_path / "a", model), tmp_path / "a")
    assert child.run(job(tmp_path / "b", model), tmp_path / "b")["rows"] == 6


def test_a_job_over_its_time_is_stopped(child: Supervisor, tmp_path: Path, model: Weights) -> None:
    with pytest.raises(StageError, match="time limit"):
        child.run(endless(tmp_path / "a", model), tmp_path / "a", timeout=1)
    assert children() == []


def test_stopping_the_pool_ends_running_and_waiting_jobs(tmp_path: Path, model: Weights) -> None:
    pool = ChildPool(tmp_path / "scratch", workers=1, threads=1)
    faults: list[str] = []

    def work() -> None:
        try:
            pool.run(lambda folder: endless(folder, model))
        except StageError as error:
            faults.append(error.what)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while not list((tmp_path / "scratch").glob("job-*/job.json")) and time.monotonic() < until:
        time.sleep(0.05)
    pool.close()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(faults) == ["stopped", "stopped before it began"]
    assert list((tmp_path / "scratch").glob("job-*")) == []


def test_a_job_is_ended_where_the_thread_that_waits_for_it_wants_it_no_more(tmp_path: Path, model: Weights) -> None:
    lost = threading.local()
    pool = ChildPool(tmp_path / "scratch", workers=1, threads=1, unwanted=lambda: getattr(lost, "claim", False))
    lost.claim = True
    with pytest.raises(StageError, match="cancelled"):
        pool.run(lambda folder: job(folder, model))
    pool.close()
    assert list((tmp_path / "scratch").glob("job-*")) == []


def test_waiting_jobs_go_by_priority(tmp_path: Path, model: Weights) -> None:
    pool = ChildPool(tmp_path / "scratch", workers=1, threads=1)
    order: list[str] = []

    def work(name: str, priority: int) -> None:
        pool.run(lambda folder: job(folder, model), priority=priority, collect=lambda *_: order.append(name))

    threads = []
    for name, priority in (("first", 5), ("late", 2), ("early", 0), ("middle", 1)):
        threads.append(threading.Thread(target=work, args=(name, priority)))
        threads[-1].start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    pool.close()
    assert order == ["first", "early", "middle", "late"]


def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path, model: Weights) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom valuedrift.engines.job import SampleJob\nfrom valuedrift.jobs import Supervisor\n"
        "folder = Path(sys.argv[1])\n"
        "job = SampleJob.model_validate_json((folder / 'endless.json').read_text())\n"
        "Supervisor(folder / 'child.log', threads=1).run(job, folder)\n",
        encoding="utf-8",
    )
    (tmp_path / "endless.json").write_text(endless(tmp_path, model).model_dump_json(), encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    deadline = time.monotonic() + 60
    while not (family := psutil.Process(parent.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert family and not alive
