"""MLflow: a run in an experiment, on a tracking server or in a database file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from valuedrift.errors import StageError
from valuedrift.trackers.base import Points, TrackedRun, TrackerBase, by_step, no_secret, told_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""Nothing is told to others, and a server that is away is not waited for by MLflow: the stage is tried again. What the environment sets wins."""
_STORES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
"""Kinds of addresses that MLflow keeps runs at."""
_BATCH = 1000
"""Numbers that MLflow takes at once."""


class MLflow(TrackerBase):
    """A run in an experiment of MLflow."""

    when = "where trainings are compared in MLflow"
    module = "mlflow"
    extra = "mlflow"
    appends = True

    type: Literal["mlflow"] = Field(default="mlflow", description="Kind of tracker.")
    uri: str | None = Field(
        default=None,
        min_length=1,
        description="The tracking server or database: `http://…`, `sqlite:////folder/mlflow.db`; default: `MLFLOW_TRACKING_URI`, else MLflow's own default. "
        "Name and password come from `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.",
    )
    experiment: str | None = Field(default=None, min_length=1, description="Name of the experiment; default: the study's name.")

    _no_secret = field_validator("uri")(no_secret)

    @field_validator("uri")
    @classmethod
    def _known_store(cls, uri: str | None) -> str | None:
        scheme = "" if uri is None else uri.partition("://")[0].partition("+")[0]
        if uri is not None and uri != "databricks" and ("://" not in uri or scheme not in _STORES):
            raise ValueError(f"{uri!r} is no tracking server and no database: {', '.join(f'{one}://' for one in _STORES)}")
        return uri

    def write_whole(self, run: TrackedRun, points: Points) -> str:
        """See `TrackerBase`."""
        with self._client() as client:
            name = self.experiment or run.study
            experiment = client.get_experiment_by_name(name)
            experiment_id = client.create_experiment(name) if experiment is None else experiment.experiment_id
            for old in client.search_runs([experiment_id], f"tags.`valuedrift.uid` = '{run.uid}'"):
                client.delete_run(old.info.run_id)
            made = str(client.create_run(experiment_id, run_name=run.run_id, tags=told_of(run)).info.run_id)
            _log(client, made, points)
            return made

    def append(self, run: TrackedRun, points: Points, name: str) -> None:
        """See `TrackerBase`."""
        with self._client() as client:
            _log(client, name, points)

    @contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        """MLflow's client; its faults in our words, without an address.

        Raises:
            StageError: The server cannot be reached or refuses.
        """
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes
        try:
            yield MlflowClient(tracking_uri=self.uri)
        except MlflowException as error:
            cause = error.__cause__ or error.__context__
            why = type(cause).__name__ if cause is not None else error.error_code  # its own words hold the address
            fix = "see that the tracking server runs; the same command tells the rest"
            raise StageError(f"MLflow does not take it: {why}", where="tracker mlflow", fix=fix) from error


def _log(client: MlflowClient, name: str, points: Points) -> None:
    from mlflow.entities import Metric

    metrics = (Metric(key, value, 0, step) for step, values in by_step(points).items() for key, value in values.items())
    while batch := list(islice(metrics, _BATCH)):
        client.log_batch(name, metrics=batch)
    client.set_terminated(name)
