"""The embedded judge: windows, batches of similar length, one distribution a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from valuedrift.judges.base import Judge, Pair
from valuedrift.judges.network.weights import (
    CROSS_ENCODER,
    EMBEDDED,
    WEIGHTS_FILE,
    body_fingerprint,
    body_folder,
    read_description,
    weights_folder,
)
from valuedrift.judges.prompted import status_before_asking
from valuedrift.judges.refusals import status_before_judging
from valuedrift.judges.trained import LogitJudge, TrainedJudge, chosen, opened
from valuedrift.stance import JudgeStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from valuedrift.judges.network.model import Reading, StanceNetwork
    from valuedrift.judges.network.windows import Encoder, Window

_SLICE = 512
"""Windows read between two reports of progress."""
NEUTRAL_FLOOR = 0.05
"""What a window that says nothing still weighs beside one that takes a stance."""


class CrossEncoder(TrainedJudge):
    """MiniLM with small trained weights, in the package: it reads prompt and response, and the weights compare them."""

    light = True
    when = (
        "default: English, no network, many answers a second. Its [data card](../valuedrift/data/judge/README.md) says where not to use it"
    )

    knows = ("en",)
    trained = CROSS_ENCODER

    type: Literal["cross-encoder"] = Field(default="cross-encoder", description="Kind of judge.")
    name: str = Field(default="cross-encoder", min_length=1, description="Name of the judge in every table.")

    def control_names(self) -> frozenset[str]:
        """Those of its body; see :meth:`JudgeBase.control_names`."""
        from valuedrift.judges.network.windows import CONTROL_NAMES
        from valuedrift.models.control import control_names

        folder = weights_folder(self.weights)
        description = read_description(folder)
        return CONTROL_NAMES if description.knows_english_alone else control_names(body_folder(folder, description))

    @property
    def known_languages(self) -> tuple[str, ...] | None:
        """See :attr:`ReadingJudge.known_languages`; a body of the user's own knows whatever it was trained on."""
        if self.languages is not None or self.weights == EMBEDDED or read_description(weights_folder(self.weights)).knows_english_alone:
            return super().known_languages
        return None

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge with its weights in memory; see :meth:`JudgeBase.load`."""
        return load_cross_encoder(self, threads=threads, device=device)


class CrossEncoderJudge(LogitJudge[CrossEncoder]):
    """Judges with the body, adapters and head in memory; made by :func:`load_cross_encoder`.

    Args:
        config: The judge as the study names it.
        network: Body with merged adapters, and head.
        encoder: Cuts pairs into windows.
        temperature: Divides the logits.
        device: Where the network is.
        status: The status that a response has by its text alone.
    """

    def __init__(
        self,
        config: CrossEncoder,
        network: StanceNetwork,
        encoder: Encoder,
        temperature: float,
        device: str,
        status: Callable[[str], JudgeStatus] = status_before_judging,
    ) -> None:
        super().__init__(config, temperature, status)
        self._network = network
        self._encoder = encoder
        self._device = device

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

    weight = np.maximum(NEUTRAL_FLOOR, 1.0 - softmax(logits, axis=1)[:, 1])
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
    from valuedrift.judges.network.model import load_body, load_judge
    from valuedrift.judges.network.windows import Encoder

    folder, description, body = opened(config, body_fingerprint, threads)
    network = load_judge(load_body(body), folder / WEIGHTS_FILE)
    where = chosen(device)
    status = status_before_judging if description.knows_english_alone else status_before_asking
    return CrossEncoderJudge(config, network.eval().to(where), Encoder(body), description.temperature, where, status)
