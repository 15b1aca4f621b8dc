"""Where the stages work that are made of stances: those of a study here, or stances that were imported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import polars as pl

from valuedrift.drift.options import Analysis
from valuedrift.results.facts import StudyFacts
from valuedrift.results.quality import Figures
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.work import Work


class StancesWork(Work, ABC):
    """Where the stages of one study work that are made of its stances, whoever made these: analyze, correct, conclude, report.

    Args:
        name: Name of the study.
        root: Where the tables lie.
        runtime: Devices, parallelism and patience.
        analysis: How the stances are analysed.
        report_folder: Where the report goes; None: reports/<study> below the root.
    """

    def __init__(self, name: str, root: str, runtime: Runtime, analysis: Analysis, report_folder: str | None = None) -> None:
        super().__init__(root, runtime)
        self.name = name
        self.analysis = analysis
        self.report_folder = report_folder

    @property
    def recorded(self) -> Sequence[Figures]:
        """Figures that were recorded with its judges' weights, see `valuedrift.results.quality`."""
        return []

    @property
    @abstractmethod
    def run_ids(self) -> list[str]:
        """Its runs."""

    @property
    @abstractmethod
    def facts(self) -> StudyFacts:
        """What is known of it beside the numbers."""

    @property
    def seed_groups(self) -> Mapping[str, str]:
        """Of its runs that are trained with several seeds, by run_id: what those share that differ in seed alone; nothing where there is one seed."""
        return {}

    @property
    def followed(self) -> Mapping[str, tuple[int, int | None]]:
        """Its runs that something else trains: how many checkpoints are there to be evaluated, and the steps of the whole training, where known."""
        return {}

    @abstractmethod
    def provenance(self, runs: pl.DataFrame, stances: pl.DataFrame) -> dict[str, dict[str, str]]:
        """Where its numbers come from, by section and name.

        Args:
            runs: Its rows of the table runs.
            stances: Those of the table stances.
        """
