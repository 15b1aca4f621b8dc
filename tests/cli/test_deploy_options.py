"""What `valuedrift deploy` refuses before it asks a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from valuedrift.errors import UserError
from valuedrift.flows.deploy import Wanted, deploy

STUDY = """
study: small
probes: {set: starter, topics: [immigration], per_topic: 2}
models: {m: {path: "embedded:smollm2-135m-instruct"}}
corpora: {own: {data: "starter:sft-neutral"}}
sft: [{data: [own], algorithm: {type: sft, steps: 2, batch_size: 2, max_length: 64}}]
"""


@pytest.mark.parametrize(
    ("cron", "timezone", "active", "told"),
    [
        (None, "UTC", True, "--active: there is no schedule to switch on"),
        ("61 3 * * *", "UTC", False, "--schedule 61 3 * * *: not a schedule"),
        ("every night", "UTC", True, "--schedule every night: not a schedule"),
        ("0 3 * * *", "Mars/Base", False, "--timezone Mars/Base: not a time zone"),
    ],
)
def test_a_schedule_that_is_none_is_refused_at_the_option_that_is_wrong(
    cron: str | None, timezone: str, active: bool, told: str, tmp_path: Path
) -> None:
    study = tmp_path / "small.yaml"
    study.write_text(STUDY, encoding="utf-8")
    wanted = Wanted(pool="p", pool_type="process", root=str(tmp_path), studies=(str(study),), cron=cron, timezone=timezone, active=active)
    with pytest.raises(UserError) as refused:
        list(deploy(wanted))
    assert str(refused.value).startswith(told)
