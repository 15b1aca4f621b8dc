"""The minimum detectable drift, against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from valuedrift.errors import UserError
from valuedrift.statistics.significance import DRIFT_SD, WITHIN_SD, minimum_detectable_drift


@pytest.mark.parametrize(("prompts", "samples"), [(50, 5), (10, 3)])
def test_a_drift_of_that_size_is_found_four_times_in_five(prompts: int, samples: int) -> None:
    size = minimum_detectable_drift(prompts, samples)
    rng = np.random.default_rng(0)
    own = rng.normal(size, DRIFT_SD, size=(prompts, 8000))
    noise = rng.normal(0, WITHIN_SD / np.sqrt(samples), size=(2, prompts, 8000))
    found = stats.ttest_1samp(own + noise[0] - noise[1], 0).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.015)


def test_the_papers_size() -> None:
    assert minimum_detectable_drift(50, 5) == pytest.approx(0.08, abs=0.002)


def test_more_prompts_help_more_than_more_samples() -> None:
    assert minimum_detectable_drift(100, 5) < minimum_detectable_drift(50, 10) < minimum_detectable_drift(50, 5)


def test_what_cannot_be_found_is_one() -> None:
    assert minimum_detectable_drift(2, 1) == 1.0


@pytest.mark.parametrize(("prompts", "samples"), [(1, 5), (10, 0)])
def test_sizes_that_are_none(prompts: int, samples: int) -> None:
    with pytest.raises(UserError):
        minimum_detectable_drift(prompts, samples)
