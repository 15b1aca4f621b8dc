"""What an alert does when it fires: a line in the terminal, an event in Prefect, a line in a file that a training may read, a webhook."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    sent = []
    for row in first.sort("step", "mean_of").unique(_SAME, keep="first", maintain_order=True).iter_rows(named=True):
        told = {name: row[name] for name in ("run_id", "step", "topic", "stance", "change", "change_low", "change_high", "rule")}
        told = {"study": work.name, **told}
        tell(f"alert   {words(told)}")
        announce(CROSSED, f"valuedrift.run.{work.name}.{row['run_id']}", told)
        with _told_if_not_written("the alert"):
            _append(work, told)
        if row["run_id"] in work.study.series:
            with _told_if_not_written("the training is not told: the alert"):
                work.watch.tell_training(row["run_id"], Crossed.model_validate(told))
        sent.append(told)
    _send_all(sent)


@contextmanager
def _told_if_not_written(what: str) -> Iterator[None]:
    """Say what could not be written, and go on: the tables still get the alert."""
    try:
        yield
    except OSError as error:
        tell(f"{what} could not be written: {error.strerror or error}: {error.filename or ''}".rstrip(": "))


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


def _send_all(alerts: Sequence[Mapping[str, Any]]) -> None:
    """To the webhook, if there is one. What takes long goes on while the next checkpoints are looked at."""
    address = os.environ.get(WEBHOOK)
    if not address or not alerts:
        return
    sender = threading.Thread(target=_send_each, args=(address, alerts), daemon=True)
    sender.start()
    sender.join(_PATIENCE_SECONDS)
    if sender.is_alive():
        tell(f"the webhook of {WEBHOOK} is slow; it is still being told")


def _send_each(address: str, alerts: Sequence[Mapping[str, Any]]) -> None:
    _sending.now = True
    for fault in dict.fromkeys(filter(None, (_send(address, alert) for alert in alerts))):
        tell(f"the webhook of {WEBHOOK} {fault}")


def _send(address: str, alert: Mapping[str, Any]) -> str:
    """Send one; what went wrong, without the address."""
    import httpx

    try:
        answer = httpx.post(address, json={"text": f"valuedrift: {words(alert)}", **alert}, timeout=_PATIENCE_SECONDS)
    except Exception as error:  # of many kinds, and their messages may hold the address
        return f"was not reached: {type(error).__name__}"
    if answer.is_redirect:
        return f"answered {answer.status_code}: it has moved, and the new address is to be given"
    return f"answered {answer.status_code}" if answer.status_code >= 300 else ""


_sending = threading.local()


class _Unsaid(logging.Filter):
    """Keeps what HTTP libraries log of a request, which has its address, out of every log while one goes to the webhook."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging."""
        return not getattr(_sending, "now", False)


for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "proxy", "http11", "http2", "socks"))):
    logging.getLogger(_name).addFilter(_Unsaid())
