"""Keep the questions of a study in the probes table, so that SQL can join answers to what was asked."""

from __future__ import annotations

from typing import Any

from prefect import task

from valuedrift.probes import probes_fingerprint, probes_frame
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.identity import key_of
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.sources import probes_of
from valuedrift.tasks.workplace import Workplace


def _identity(work: Workplace) -> tuple[str, dict[str, Any]]:
    """Name of the whole probe set, of which a study may ask a part, and its identity."""
    whole = probes_of(work.study.probes.set)
    return whole[0].probe_set, {"stage": "probes", "probes": probes_fingerprint(whole)}


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: Workplace = parameters["work"]
    name, identity = _identity(work)
    entry = work.store.entry("probes", {"probe_set": name})
    return key_of(identity), entry is not None and entry.key == key_of(identity) and work.store.exists(entry)


@task(name="probes", task_run_name="probes", cache_key_fn=cached_by("probes", _key), **TASK)
def keep_probes(work: Workplace) -> Reference:
    """Write the study's probe set, whole, unless the same questions are there already.

    Raises:
        UserError: The probe set can't be read, or holds several sets under one file.
    """
    name, identity = _identity(work)
    frame = probes_frame(probes_of(work.study.probes.set))
    entry = work.store.put("probes", frame, partition={"probe_set": name}, key=key_of(identity), identity=identity)
    return Reference.to(entry, reused=False)
