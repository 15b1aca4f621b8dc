"""The embedded judge: windows, batches of similar length, one distribution a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.errors import UserError
from valuedrift.judges.base import Configured, Judge, Judgement, Pair
from valuedrift.judges.calibrated import ReadingJudge
from valuedrift.judges.refusals import status_before_judging
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from valuedrift.judges.network.model import Reading, StanceNetwork
    from valuedrift.judges.network.windows import Encoder, Window

_SLICE = 512
"""Windows read between two reports of progress."""
_CHUNK = 4096
"""Pairs tokenized at a time, so that memory does not grow with the file."""
_NEUTRAL_FLOOR = 0.05
"""What a window that says nothing still weighs beside one that takes a stance."""


class CrossEncoder(ReadingJudge):
    """MiniLM with small trained weights, in the package: it reads prompt and response, and the weights compare them."""

    light = True
    when = (
        "default: English, no network, many answers a second. Its [data card](../valuedrift/data/judge/README.md) says where not to use it"
    )

    knows = ("en",)

    type: Literal["cross-encoder"] = Field(default="cross-encoder", description="Kind of judge.")
    name: str = Field(default="cross-encoder", min_length=1, description="Name of the judge in every table.")
    weights: str = Field(
        default="embedded", description="`embedded` (shipped with the package) or a folder written by `valuedrift judge train`."
    )

    def own_identity(self) -> dict[str, Any]:
        """Content hashes of weights and body, versions of token windows and refusal rule."""
        from valuedrift.judges.network.weights import weights_identity

        return {"type": self.type, **weights_identity(self.weights)}

    def control_names(self) -> frozenset[str]:
        """Those of BERT; see :meth:`JudgeBase.control_names`."""
        from valuedrift.judges.network.windows import CONTROL_NAMES

        return CONTROL_NAMES

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge with its weights in memory; see :meth:`JudgeBase.load`."""
        return load_cross_encoder(self, threads=threads, device=device)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another weights folder; see :meth:`JudgeBase.with_paths`."""
        judge = super().with_paths(change)
        return judge if self.weights == "embedded" else judge.model_copy(update={"weights": change(self.weights)})


class CrossEncoderJudge(Configured[CrossEncoder]):
    """Judges with the body, adapters and head in memory; made by :func:`load_cross_encoder`.

    Args:
        config: The judge as the study names it.
        network: Body with merged adapters, and head.
        encoder: Cuts pairs into windows.
        temperature: Divides the logits.
        device: Where the network is.
    """

    def __init__(self, config: CrossEncoder, network: StanceNetwork, encoder: Encoder, temperature: float, device: str) -> None:
        super().__init__(config)
        self._network = network
        self._encoder = encoder
        self._temperature = temperature
        self._device = device

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs; see :class:`valuedrift.judges.base.Judge`."""
        judgements: list[Judgement] = []
        for start in range(0, len(pairs), _CHUNK):
            judgements += self._chunk(pairs[start : start + _CHUNK], start, len(pairs), progress)
        return judgements

    def logits(self, pairs: Sequence[Pair], progress: Callable[[float], None] = lambda _: None) -> NDArray[np.float64]:
        """Uncalibrated logits of whole responses, whatever is in them.

        Args:
            pairs: What to judge.
            progress: Called with the share that is done.

        Returns:
            Shape (pairs, 3): support, neutral, oppose.
        """
        import numpy as np
        import torch

        if not pairs:
            return np.zeros((0, 3))
        prompts, responses = (list(dict.fromkeys(texts)) for texts in ((p.prompt for p in pairs), (p.response for p in pairs)))
        windows = self._encoder.responses(responses)
        asked = self._read(self._encoder.prompts(prompts), lambda share: progress(share * 0.2))
        said = self._read([window for found in windows for window in found], lambda share: progress(0.2 + share * 0.8))
        place, ends = {text: row for row, text in enumerate(prompts)}, np.cumsum([len(found) for found in windows])
        spans = {text: range(end - len(found), end) for text, end, found in zip(responses, ends.tolist(), windows, strict=True)}
        with torch.inference_mode():
            rows = [row for pair in pairs for row in spans[pair.response]]
            of = [place[pair.prompt] for pair in pairs for _ in spans[pair.response]]
            values = self._network.head(asked.rows(torch.tensor(of)), said.rows(torch.tensor(rows))).double().cpu().numpy()
        borders = np.cumsum([len(spans[pair.response]) for pair in pairs])[:-1]
        return np.stack([combine(part) for part in np.split(values, borders)])

    def _chunk(self, pairs: Sequence[Pair], begun: int, total: int, progress: Callable[[Progress], None] | None) -> list[Judgement]:
        from scipy.special import softmax

        def report(share: float) -> None:
            if progress is not None:
                progress(Progress(begun + int(share * len(pairs)), total, self.name))

        statuses = [status_before_judging(pair.response) for pair in pairs]
        judgements = [Judgement.without_stance(status) for status in statuses]
        readable = [index for index, status in enumerate(statuses) if status is JudgeStatus.OK]
        probabilities = softmax(self.logits([pairs[index] for index in readable], report) / self._temperature, axis=1)
        for index, (support, neutral, oppose) in zip(readable, probabilities.tolist(), strict=True):
            judgements[index] = Judgement(support, neutral, oppose, 0.0, JudgeStatus.OK)
        report(1.0)
        return judgements

    def _read(self, windows: Sequence[Window], progress: Callable[[float], None]) -> Reading:
        """Readings of windows, a slice of similar lengths at a time so that progress is seen."""
        import numpy as np
        import torch

        from valuedrift.judges.network.model import Reading

        order = sorted(range(len(windows)), key=lambda row: (-len(windows[row]), row))
        read = []
        with torch.inference_mode():
            for start in range(0, len(order), _SLICE):
                rows = order[start : start + _SLICE]
                read.append(self._network.read([windows[row] for row in rows], self._encoder.pad, self._device))
                progress(min(1.0, (start + _SLICE) / len(order)))
            place = torch.tensor(np.argsort(order, kind="stable"))
            return Reading(torch.cat([one.first for one in read]), torch.cat([one.mean for one in read])).rows(place)


def combine(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits of a response from those of its windows.

    They are averaged with weight 1 − p(neutral) of each window: where a long answer takes a stance in one place and reports facts elsewhere, the place
    that takes it decides; where two places disagree, they cancel; where none takes one, the answer is neutral.

    Args:
        logits: Shape (windows, 3): support, neutral, oppose.

    Returns:
        Shape (3,).
    """
    import numpy as np
    from scipy.special import softmax

    weight = np.maximum(_NEUTRAL_FLOOR, 1.0 - softmax(logits, axis=1)[:, 1])
    return np.asarray(np.average(logits, axis=0, weights=weight))


def load_cross_encoder(config: CrossEncoder, *, threads: int | None = None, device: str = "auto") -> CrossEncoderJudge:
    """Load body, adapters and head.

    Args:
        config: The judge.
        threads: CPU threads of this process; None leaves torch's setting.
        device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).

    Raises:
        UserError: The weights are missing, or the body is not the one they were trained on.
        DataError: The weights are cut off, not finite, or of another network.
    """
    import torch

    from valuedrift.judges.network.model import load_body, load_judge
    from valuedrift.judges.network.weights import WEIGHTS_FILE, body_fingerprint, read_description, weights_folder
    from valuedrift.judges.network.windows import Encoder
    from valuedrift.models.resolve import resolve_model

    if threads is not None:
        torch.set_num_threads(threads)
    folder = weights_folder(config.weights)
    description = read_description(folder)
    body_folder = Path(resolve_model(description.body))
    if body_fingerprint(body_folder) != description.body_fingerprint:
        raise UserError(
            f"the judge was trained on another version of {description.body}",
            where=str(body_folder),
            fix="train it again: valuedrift judge train --out FOLDER",
        )
    network = load_judge(load_body(body_folder), folder / WEIGHTS_FILE)
    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return CrossEncoderJudge(config, network.eval().to(where), Encoder(body_folder), description.temperature, where)
