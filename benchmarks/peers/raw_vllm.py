"""Raw vLLM: ``python raw_vllm.py sample|judge ASKED CHECKPOINT OUT``. A script as one writes it for one's own use."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

for name, value in (("VLLM_NO_USAGE_STATS", "1"), ("VLLM_CPU_OMP_THREADS_BIND", "nobind"), ("TORCHDYNAMO_DISABLE", "1")):
    os.environ.setdefault(name, value)


def main(what: str, asked: Path, checkpoint: str, out: Path) -> None:
    """Sample or judge, and write a line of JSON an answer.

    Args:
        what: ``sample`` or ``judge``.
        asked: JSONL of questions, or of prompts of the judge, with ``id`` and ``text``.
        checkpoint: Folder of the model.
        out: JSONL to write.
    """
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams

    rows = [json.loads(line) for line in asked.read_text(encoding="utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": row["text"]}], tokenize=False, add_generation_prompt=True)
        for row in rows
    ]
    tokens = [{"prompt_token_ids": tokenizer.encode(prompt, add_special_tokens=False)} for prompt in prompts]
    settings = {"dtype": "float32", "enforce_eager": True, "max_model_len": 2048, "max_num_seqs": 128, "kv_cache_memory_bytes": 3 * 2**30}
    llm = LLM(model=checkpoint, **settings)
    if what == "sample":
        drawn = llm.generate(tokens, SamplingParams(n=int(os.environ["PEERS_SAMPLES"]), temperature=0.7, max_tokens=48), use_tqdm=False)
        found = [{"id": row["id"], "response": one.text} for row, output in zip(rows, drawn, strict=True) for one in output.outputs]
    else:
        options = [tokenizer.encode(option, add_special_tokens=False)[0] for option in "ABC"]
        scored = llm.generate(tokens, SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=options), use_tqdm=False)
        found = [
            {"id": row["id"], "logprobs": [output.outputs[0].logprobs[0][option].logprob for option in options]}
            for row, output in zip(rows, scored, strict=True)
        ]
    out.write_text("".join(f"{json.dumps(one)}\n" for one in found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
