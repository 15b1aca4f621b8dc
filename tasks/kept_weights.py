"""Weights as the tables tell of them: by places under the root and by names, which mean the same on every machine that reaches the root."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import DataError, StageError
from valuedrift.models.resolve import is_named, name_of, resolve_model
from valuedrift.references import is_address
from valuedrift.storage.weights_store import Place, WeightsStore
from valuedrift.tasks.sources import brought
from valuedrift.weights import Weights


class Stack(BaseModel):
    """A model at one checkpoint, as the column `path` of the table checkpoints has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        description="`weights/<key>/step-…` under the root, `embedded:…`, `hf:…@commit`, an address, or a folder that the user gave."
    )
    adapters: tuple[str, ...] = Field(default=(), description="The same of the adapters on it, in order.")

    @property
    def places(self) -> list[Place]:
        """Those of its folders that lie under the root."""
        return [place for text in (self.base, *self.adapters) if (place := Place.of(text)) is not None]


class KeptWeights:
    """Finds the weights that tables tell of, and tells of weights so that they are found.

    Args:
        store: The weights under the root.
    """

    def __init__(self, store: WeightsStore) -> None:
        self.store = store
        self._addresses: dict[Path, str] = {}

    def came_from(self, folder: Path, address: str) -> None:
        """Note that a folder of this machine is a copy of what lies at an address."""
        self._addresses[folder] = address

    def told(self, weights: Weights) -> Stack:
        """Weights of this machine, as a table tells of them."""
        return Stack(base=self._told(weights.base), adapters=tuple(map(self._told, weights.adapters)))

    def lie(self, stack: Stack) -> bool:
        """Whether weights can be had: they lie here or in the bucket, or have a name."""
        return all(self._lies(text) for text in (stack.base, *stack.adapters))

    def at_hand(self, stack: Stack, content: str) -> Weights:
        """Weights on this machine, brought here where they are not.

        Args:
            stack: As a table tells of them.
            content: Their fingerprint.

        Raises:
            StageError: They are gone.
            DataError: They are not what the table says.
            UserError: What a name stands for can't be had.
        """
        elsewhere = [text for text in (stack.base, *stack.adapters) if not self._is_here(text)]
        weights = Weights(base=self._at_hand(stack.base), adapters=tuple(map(self._at_hand, stack.adapters)))
        if elsewhere and (found := weights.fingerprint()) != content:
            raise DataError(
                f"these weights are not those that were sampled and trained on: {found}, and the table checkpoints says {content}",
                where=" + ".join(elsewhere),
                fix="bring back the model that the study began with",
            )
        return weights

    def _told(self, folder: Path) -> str:
        place = Place.of(folder.as_posix())
        if place is not None and self.store.path(place) == folder:
            return str(place)
        return self._addresses.get(folder) or name_of(folder) or str(folder)

    def _is_here(self, text: str) -> bool:
        place = Place.of(text)
        return (place is not None and self.store.is_here(place)) or (_is_path(text) and Path(text).is_dir())

    def _lies(self, text: str) -> bool:
        place = Place.of(text)
        if place is not None and ((there := self.store.lies(place)) or not _is_path(text)):
            return there
        return not _is_path(text) or any(Path(text).glob("*.safetensors")) or (place is None and name_of(Path(text)) is not None)

    def _at_hand(self, text: str) -> Path:
        place = Place.of(text)
        if place is not None and (self.store.lies(place) or not _is_path(text) or not Path(text).is_dir()):
            return self.store.bring(place)
        if not _is_path(text):
            if not is_address(text):
                return resolve_model(text)
            copy = Path(brought(text))
            self.came_from(copy, text)
            return copy
        folder = Path(text)
        if folder.is_dir():
            return folder
        name = name_of(folder)  # a path of another machine, in a table of version 0.2
        if name is None:
            raise StageError("these weights are gone", where=text, fix="bring back the folder, or run the same command again")
        return resolve_model(name)


def _is_path(text: str) -> bool:
    """Whether a text of a table is a path of some machine, as those of version 0.2 are."""
    return Path(text).is_absolute() and not is_named(text) and not is_address(text)
