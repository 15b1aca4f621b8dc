"""``valuedrift judge distil``: a small judge learns from what another one, its teacher, says of the user's own answers.

The teacher's whole distributions are learnt (Hinton et al. 2015), by the very windows and means with which the student judges. Whole questions are held out,
and a question's opposite wording with it, so that agreement is measured on questions that the student has never seen.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint, seed_from
from valuedrift.judges.cross_encoder import NEUTRAL_FLOOR, CrossEncoder, load_cross_encoder
from valuedrift.judges.network import windows
from valuedrift.judges.network.model import ENCODERS, LowRank, StanceNetwork, add_adapters, load_body, save_weights
from valuedrift.judges.network.weights import (
    BESIDE,
    LATEST,
    WEIGHTS_FILE,
    Description,
    body_fingerprint,
    read_description,
    weights_folder,
    write_description,
)
from valuedrift.judges.network.windows import PROMPT_TOKENS, RESPONSE_TOKENS, Encoder
from valuedrift.judges.quality.scaling import fit_temperature
from valuedrift.judges.training.lessons import Lesson, Lessons
from valuedrift.judges.training.loop import Rates, fit
from valuedrift.models.checking import read_tensors
from valuedrift.models.resolve import is_named, name_of, resolve_model
from valuedrift.progress import Progress
from valuedrift.weight_files import weight_files

FROM_SHIPPED = Rates(learning_rate=1e-3, head_learning_rate=5e-4, epochs=4)
"""How the shipped judge learns on."""
FROM_BODY = Rates(learning_rate=1e-3, epochs=4)
"""How a body learns that has never judged."""
_ANSWERS, _TOKENS = 16, 4096
"""Answers of a step at most, and tokens of their windows, which bound what backpropagation keeps in memory."""


class Student:
    """A network that is about to learn: body, adapters and head, begun from the shipped judge where the body is its own.

    Args:
        body: ``embedded:NAME``, ``hf:ORG/NAME``, or an encoder's folder.

    Raises:
        UserError: It is not there, no encoder, or can't read the windows of the judge.
        DataError: Its weights are not those of its config.
    """

    def __init__(self, body: str) -> None:
        self.folder = resolve_model(body)
        named = body if body.startswith("embedded:") else name_of(self.folder)
        self.name = named if named is not None and is_named(named) else None
        self.encoder, self.network = Encoder(self.folder), StanceNetwork(load_body(self.folder)).eval()
        _check_reads(self.network, self.encoder, body)
        self.from_shipped = self.name == read_description(weights_folder(LATEST)).body
        if self.from_shipped:
            tensors = read_tensors(weights_folder(LATEST) / WEIGHTS_FILE)
            rank = next(tensor.shape[0] for name, tensor in tensors.items() if name.endswith(".down"))
            self.adapters = add_adapters(self.network.body, rank)
            self.rates = replace(FROM_SHIPPED, rank=rank)
            _put(tensors, self.network.head, self.adapters)
        else:
            self.rates = FROM_BODY
            self.adapters = add_adapters(self.network.body, FROM_BODY.rank)
        if not self.adapters:
            raise UserError("a body without linear layers", where=body, fix=ENCODERS)

    def save_body(self, folder: Path) -> str:
        """What names the body in a description; one that only a path of this machine names is copied beside the weights, so that the folder is whole."""
        if self.name is not None:
            return self.name
        beside = folder / BESIDE
        beside.mkdir()
        texts = [path for path in self.folder.iterdir() if path.is_file() and path.suffix in (".json", ".txt", ".model", ".spm")]
        for path in [*weight_files(self.folder), *texts]:
            shutil.copyfile(path, beside / path.name)
        return BESIDE


def distil(
    folder: Path,
    student: Student,
    lessons: Lessons,
    *,
    rates: Rates,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[Progress], None] = lambda _: None,
) -> None:
    """Train a student, fit its temperature on the held-out answers, and write weights and description.

    Args:
        folder: To write into.
        student: Who learns.
        lessons: What is learnt from, and what is held out.
        rates: How.
        seed: Seed of initial weights and order; the same texts, teacher, body and seed give the same weights on the same machine.
        device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).
        progress: Called after every step.
    """
    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    network = student.network.to(where)
    steps = list(_steps(lessons.seen, student.encoder, rates.epochs, seed))
    loss = LessonLoss(network, student.encoder, where)
    fit(network, student.adapters, steps, loss, rates, seed, progress, fresh=not student.from_shipped)
    save_weights(folder / WEIGHTS_FILE, network, student.adapters)
    description = Description(
        body=student.save_body(folder),
        body_fingerprint=body_fingerprint(student.folder),
        temperature=1.0,
        encoding=windows.VERSION,
        seed=seed,
        recipe={name: float(value) for name, value in asdict(rates).items()},
        data_fingerprint=fingerprint([[lesson.prompt, lesson.response, list(lesson.stance)] for lesson in lessons.seen]),
    )
    write_description(folder, description)
    judge = load_cross_encoder(CrossEncoder(weights=str(folder)), device=where)
    temperature = fit_temperature(judge.logits([lesson.pair for lesson in lessons.held_out]), stances(lessons.held_out))
    write_description(folder, description.model_copy(update={"temperature": temperature}))


def stances(lessons: Sequence[Lesson]) -> NDArray[np.float64]:
    """The teacher's probabilities. Shape (lessons, 3)."""
    return np.array([lesson.stance for lesson in lessons])


class LessonLoss:
    """Cross-entropy of the student's distributions of whole answers with the teacher's.

    Args:
        network: What is trained.
        encoder: Cuts texts into windows.
        device: Where the network is.
    """

    def __init__(self, network: StanceNetwork, encoder: Encoder, device: str) -> None:
        self._network, self._encoder, self._device = network, encoder, device

    def __call__(self, lessons: Sequence[Lesson]) -> Tensor:
        """The mean over the answers of a step, nats."""
        prompts = list(dict.fromkeys(lesson.prompt for lesson in lessons))
        parts = self._encoder.responses([lesson.pair.response for lesson in lessons])
        read = self._network.read(
            [*self._encoder.prompts(prompts), *(window for found in parts for window in found)], self._encoder.pad, self._device
        )
        answer = [row for row, found in enumerate(parts) for _ in found]
        asked = read.rows(torch.tensor([prompts.index(lessons[row].prompt) for row in answer], device=self._device))
        said = read.rows(torch.arange(len(prompts), len(prompts) + len(answer), device=self._device))
        logits = combined(self._network.head(asked, said), torch.tensor(answer, device=self._device), len(lessons))
        wanted = torch.tensor([lesson.stance for lesson in lessons], device=self._device)
        return nn.functional.cross_entropy(logits, wanted)


def combined(logits: Tensor, answer: Tensor, count: int) -> Tensor:
    """Logits of answers from those of their windows, as :func:`valuedrift.judges.cross_encoder.combine` makes them.

    Args:
        logits: Shape (windows, 3): support, neutral, oppose.
        answer: The answer of each window. Shape (windows,).
        count: Answers.

    Returns:
        Shape (count, 3).
    """
    weight = (1.0 - logits.detach().softmax(1)[:, 1:2]).clamp(min=NEUTRAL_FLOOR)
    sums, whole = logits.new_zeros(count, logits.shape[1]), logits.new_zeros(count, 1)
    return sums.index_add(0, answer, weight * logits) / whole.index_add(0, answer, weight)


def _steps(lessons: Sequence[Lesson], encoder: Encoder, epochs: int, seed: int) -> Iterator[list[Lesson]]:
    """The answers of every step: in each pass all once, in an order of its own, as many at a time as their windows allow."""
    sizes = [sum(map(len, found)) for found in encoder.responses([lesson.pair.response for lesson in lessons])]
    for epoch in range(epochs):
        order = Random(seed_from(seed, epoch)).sample(range(len(lessons)), len(lessons))
        step: list[int] = []
        for row in order:
            if step and (len(step) == _ANSWERS or sum(sizes[one] for one in step) + sizes[row] > _TOKENS):
                yield [lessons[one] for one in step]
                step = []
            step.append(row)
        yield [lessons[one] for one in step]


def _put(tensors: Mapping[str, Tensor], head: nn.Module, adapters: Mapping[str, LowRank]) -> None:
    """Begin from weights that a training wrote."""
    head.load_state_dict({name.removeprefix("head."): tensor for name, tensor in tensors.items() if name.startswith("head.")})
    with torch.no_grad():
        for name, adapter in adapters.items():
            adapter.down.copy_(tensors[f"{name}.down"])
            adapter.up.copy_(tensors[f"{name}.up"])


def _check_reads(network: StanceNetwork, encoder: Encoder, body: str) -> None:
    """Let the body read two windows of the greatest length that differ in their last word.

    Raises:
        UserError: It can't read as much, or its first state doesn't hang on what stands last: a model that reads from left to right.
    """
    longest = max(PROMPT_TOKENS, RESPONSE_TOKENS)
    texts = [f"{'yes ' * longest}{last}" for last in ("yes", "no")]
    one, other = (encoder.responses([text])[0][-1] for text in texts)
    full = encoder.responses([texts[0]])[0][0]
    try:
        with torch.inference_mode():
            read = network.read([full, one, other], encoder.pad)
    except (IndexError, RuntimeError) as error:
        raise UserError(
            f"the body can't read {len(full)} tokens at once, which the judge's windows have",
            where=body,
            fix="one with 512 positions or more",
        ) from error
    if not bool(read.first.isfinite().all()):
        raise UserError("the body's states are not finite", where=body, fix="another body, or its weights in float32")
    if one != other and torch.allclose(read.first[1], read.first[2], rtol=0.0, atol=1e-6):
        raise UserError("the body reads from left to right: it is no encoder", where=body, fix=ENCODERS)
