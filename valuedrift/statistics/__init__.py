"""Statistics that know nothing of runs and judges: intervals of means, tests, the bootstrap over prompts, agreement, distances. See docs/statistics.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
