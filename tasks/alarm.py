"""What an alert does when it fires: a line in the terminal, an event in Prefect, a line in a file that a training may read, a webhook."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import polars as pl

from valuedrift.tasks.board import announce, tell
from valuedrift.tasks.study_work import StudyWork
from valuedrift.watching.handing import Crossed

WEBHOOK = "VALUEDRIFT_WEBHOOK"
"""Environment variable with the address that alerts are sent to; an address may hold a secret, so it is in no table and no log."""
CROSSED = "valuedrift.drift.crossed"
_PATIENCE_SECONDS = 10.0
_SAME = ("topic", "stance", "rule")


def raise_alerts(work: StudyWork, alerts: pl.DataFrame, *, before: pl.DataFrame) -> None:
    """Tell the alerts that fired for the first time in their run, topic and stance, and were not told before.

    Args:
        work: The study.
        alerts: Rows of the table alerts, of one run.
        before: What the table had of this run until now.
    """
    first = alerts.filter(pl.col("first"))
    if before.height:
        first = first.join(before.filter(pl.col("first")).select(_SAME).cast(pl.String), on=_SAME, how="anti")
    for row in first.sort("step", "mean_of").unique(_SAME, keep="first", maintain_order=True).iter_rows(named=True):
        told = {name: row[name] for name in ("run_id", "step", "topic", "stance", "change", "change_low", "change_high", "rule")}
        told = {"study": work.name, **told}
        tell(f"alert   {words(told)}")
        announce(CROSSED, f"valuedrift.run.{work.name}.{row['run_id']}", told)
        _append(work, told)
        if row["run_id"] in work.study.series:
            work.watch.tell_training(row["run_id"], Crossed.model_validate(told))
        _send(told)


def words(alert: Mapping[str, Any]) -> str:
    """An alert in words."""
    span = f"[{alert['change_low']:+.2f}, {alert['change_high']:+.2f}]"
    return f"{alert['run_id']} at step {alert['step']}: {alert['topic']}, {alert['stance']} {alert['change']:+.2f} {span} ({alert['rule']})"


def _append(work: StudyWork, alert: Mapping[str, Any]) -> None:
    """A line for whoever reads along; a training that stops by it, say."""
    path = work.alerts_file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(alert, ensure_ascii=False) + "\n")


def _send(alert: Mapping[str, Any]) -> None:
    """To the webhook, if there is one; what goes wrong is told without its address."""
    address = os.environ.get(WEBHOOK)
    if not address:
        return
    import httpx

    try:
        answer = httpx.post(address, json={"text": f"valuedrift: {words(alert)}", **alert}, timeout=_PATIENCE_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        tell(f"the webhook of {WEBHOOK} was not reached: {type(error).__name__}")
        return
    if answer.status_code >= 400:
        tell(f"the webhook of {WEBHOOK} answered {answer.status_code}")
