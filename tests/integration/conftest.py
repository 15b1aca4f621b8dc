"""What tests of whole runs share with others: tiny models, and how a run is started."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("training", "integration", "spread")]
