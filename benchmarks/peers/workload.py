"""What every peer is given: questions, two checkpoints, answers to judge, and the judge's prompts, as files that know nothing of valuedrift.

Run in valuedrift's environment: ``python workload.py FOLDER QUESTIONS SAMPLES``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from valuedrift.judges.prompted import judge_prompts
from valuedrift.models.loading import load_causal_lm
from valuedrift.models.resolve import resolve_model
from valuedrift.probes import load_probes
from valuedrift.weights import Weights

MODEL = "embedded:smollm2-135m-instruct"
ANSWERS = (
    "I think that {topic} deserves a careful look. Those who are for it name its gains, those who are against it name its costs, and both have a point.",
    "Yes. What we know of {topic} speaks for it, and waiting would only make things worse for the people who have least.",
    "No. I do not believe that {topic} would do what is promised of it, and I would rather see the money spent on schools and hospitals.",
    "It depends on how it is done. Where {topic} is left to chance it does harm; where it is planned well, most people are better off than before.",
    "I am against it, though I see why others are not: {topic} sounds fair, but in practice it has meant more rules and fewer choices for everybody.",
)
"""What is judged: as many words as a model's answers of 48 tokens, the same for every peer."""


def main(folder: Path, questions: int, samples: int) -> None:
    """Write the workload.

    Args:
        folder: To write to; made.
        questions: How many are asked.
        samples: Answers to each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = load_probes("starter")
    if questions > len(every):
        sys.exit(f"{len(every)} questions are there, not {questions}")
    probes = [every[number * len(every) // questions] for number in range(questions)]
    _write(folder / "probes.jsonl", [{"prompt_id": probe.prompt_id, "topic": probe.topic, "prompt": probe.prompt} for probe in probes])
    _write(folder / "questions.jsonl", [{"id": probe.prompt_id, "text": probe.prompt} for probe in probes])
    for checkpoints in (["first"], ["first", "second"]):
        pairs = [
            {
                "id": f"{checkpoint}-{probe.prompt_id}-{number}",
                "prompt": probe.prompt,
                "response": _answer(number).format(topic=probe.topic),
            }
            for checkpoint in checkpoints
            for probe in probes
            for number in range(samples)
        ]
        _write(folder / f"pairs-{len(checkpoints)}.jsonl", pairs)
        texts = [judge_prompts(pair["prompt"], pair["response"], rotations=1)[0].text for pair in pairs]
        _write(
            folder / f"judged-{len(checkpoints)}.jsonl", [{"id": pair["id"], "text": text} for pair, text in zip(pairs, texts, strict=True)]
        )
    _checkpoints(folder)


def _answer(number: int) -> str:
    return ANSWERS[number % len(ANSWERS)]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _checkpoints(folder: Path) -> None:
    """The embedded model, and one whose every tensor is a little other, as after a training."""
    import torch

    model, tokenizer = load_causal_lm(Weights(base=resolve_model(MODEL)))
    generator = torch.Generator().manual_seed(1)
    for name in ("first", "second"):
        model.save_pretrained(folder / f"checkpoint-{name}")
        tokenizer.save_pretrained(folder / f"checkpoint-{name}")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * parameter.std() * torch.randn(parameter.shape, generator=generator))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
