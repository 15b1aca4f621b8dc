"""The embedded language model as a trained judge: it reads an answer once, then every prompt that the answer is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from valuedrift.judges.base import Judge, Pair
from valuedrift.judges.language import segments
from valuedrift.judges.network.weights import EMBEDDED, WEIGHTS_FILE, Trained
from valuedrift.judges.trained import LogitJudge, TrainedJudge, chosen, opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from valuedrift.judges.language.model import StanceReader
    from valuedrift.judges.language.segments import Segmenter

EMBEDDED_LM = Trained(
    body="embedded:smollm2-135m-instruct",
    packaged={EMBEDDED: "judge-lm"},
    encoding=segments.VERSION,
    encoded="token segments",
    train="valuedrift judge train --judge embedded-lm --out FOLDER",
)
_TOGETHER = 16
"""Prompts that are read after one reading of their answer: more would make one long row."""


class EmbeddedLM(TrainedJudge):
    """SmolLM2-135M with small trained weights, in the package: it reads the response, then the prompt, and names the stance."""

    when = (
        "English, no network, beside the cross-encoder in a panel: reads said opinions and neutral answers well, argued ones hardly, at a tenth of the speed. "
        "Its [data card](../valuedrift/data/judge-lm/README.md) says so in figures"
    )

    knows = ("en",)
    trained = EMBEDDED_LM

    type: Literal["embedded-lm"] = Field(default="embedded-lm", description="Kind of judge.")
    name: str = Field(default="embedded-lm", min_length=1, description="Name of the judge in every table.")

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge with its weights in memory; see :meth:`JudgeBase.load`."""
        return load_embedded_lm(self, threads=threads, device=device)


class EmbeddedLMJudge(LogitJudge[EmbeddedLM]):
    """Judges with the body, updates and head in memory; made by :func:`load_embedded_lm`.

    Args:
        config: The judge as the study names it.
        reader: Body with merged updates, and head.
        segmenter: Makes segments of texts.
        temperature: Divides the logits.
        device: Where the network is.
    """

    def __init__(self, config: EmbeddedLM, reader: StanceReader, segmenter: Segmenter, temperature: float, device: str) -> None:
        super().__init__(config, temperature)
        self._reader = reader
        self._segmenter = segmenter
        self._device = device

    def logits(self, pairs: Sequence[Pair], progress: Callable[[float], None] = lambda _: None) -> NDArray[np.float64]:
        """Uncalibrated logits; see :meth:`LogitJudge.logits`. An answer is read once for all its prompts."""
        import numpy as np
        import torch

        from valuedrift.judges.language.model import Row

        if not pairs:
            return np.zeros((0, 3))
        grouped = list(_grouped(pairs))
        prompts = list(dict.fromkeys(pair.prompt for pair in pairs))
        answers = self._segmenter.answers([answer for answer, _ in grouped])
        asked = dict(zip(prompts, self._segmenter.prompts(prompts), strict=True))
        rows = [Row(said, tuple(asked[text] for text in texts)) for said, (_, texts) in zip(answers, grouped, strict=True)]
        with torch.inference_mode():
            read = [logits.double().cpu().numpy() for logits in self._reader.read(rows, self._device, progress)]
        of = {
            (text, answer): one
            for (answer, texts), found in zip(grouped, read, strict=True)
            for text, one in zip(texts, found, strict=True)
        }
        return np.stack([of[pair.prompt, pair.response] for pair in pairs])


def _grouped(pairs: Sequence[Pair]) -> Iterator[tuple[str, list[str]]]:
    """Every answer with the prompts that it is held against, each once and a bounded number at a time."""
    found: dict[str, dict[str, None]] = {}
    for pair in pairs:
        found.setdefault(pair.response, {})[pair.prompt] = None
    for answer, prompts in found.items():
        texts = list(prompts)
        yield from ((answer, texts[start : start + _TOGETHER]) for start in range(0, len(texts), _TOGETHER))


def load_embedded_lm(config: EmbeddedLM, *, threads: int | None = None, device: str = "auto") -> EmbeddedLMJudge:
    """Load body, updates and head, in float32.

    Args:
        config: The judge.
        threads: CPU threads of this process; None leaves torch's setting.
        device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).

    Raises:
        UserError: The weights are missing, or the body is not the one they were trained on.
        DataError: The weights are cut off, not finite, or of another network.
    """
    from valuedrift.judges.language.body import body_fingerprint, load_body
    from valuedrift.judges.language.model import load_reader
    from valuedrift.judges.language.segments import Segmenter

    folder, description, body = opened(config, body_fingerprint, threads)
    where = chosen(device)
    reader = load_reader(load_body(body), folder / WEIGHTS_FILE).to(where)
    return EmbeddedLMJudge(config, reader, Segmenter(body), description.temperature, where)
