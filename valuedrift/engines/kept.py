"""The engine that a process keeps from one checkpoint to the next, so that only the first pays for imports, reading and checks."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from valuedrift.engines.base import Engine, EngineSettings, Sweep
from valuedrift.engines.registry import make_engine
from valuedrift.errors import StageError, UserError
from valuedrift.models.held import FreshNeededError
from valuedrift.weights import Weights

_log = logging.getLogger(__name__)


class KeptEngine:
    """A place for one engine."""

    def __init__(self) -> None:
        self._engine: Sweep | None = None
        self._kind: tuple[str, EngineSettings] | None = None

    @contextmanager
    def at(self, name: str, weights: Weights, fingerprint: str, settings: EngineSettings) -> Iterator[Engine]:
        """An engine with a checkpoint: the kept one where it can be shown to hold it, else a fresh one, which is kept if it can go on to another.

        Args:
            name: Type of an engine that holds weights.
            weights: The model at one checkpoint.
            fingerprint: Of the weights.
            settings: Dtype and runtime; an engine that has others is let go.

        Raises:
            UserError: It cannot be set up.
        """
        engine = self._gone_on(name, weights, fingerprint, settings) or make_engine(name, weights, fingerprint, settings)
        if not isinstance(engine, Sweep):
            with engine:
                yield engine
            return
        self._engine, self._kind = engine, (name, settings)
        try:
            yield engine
        except BaseException as error:
            if not isinstance(error, UserError) or isinstance(error, StageError):  # anything may have become of it
                self.let_go()
            raise

    def let_go(self) -> None:
        """Free what is kept; harmless where nothing is."""
        engine, self._engine, self._kind = self._engine, None, None
        if engine is not None:
            engine.close()
            gc.collect()

    def _gone_on(self, name: str, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine | None:
        """The kept engine with another checkpoint; None where a fresh one is needed, for which then there is room."""
        if self._engine is None or self._kind != (name, settings):
            self.let_go()
            return None
        try:
            self._engine.load(weights, fingerprint)
        except FreshNeededError as doubt:
            _log.warning("a fresh engine for %s: %s", weights.adapters[-1] if weights.adapters else weights.base, doubt)
            self.let_go()
            return None
        except UserError:
            raise
        except BaseException:
            self.let_go()
            raise
        return self._engine


KEPT = KeptEngine()
"""That of this process."""
