"""What tests of stages share with others: tiny models, broken studies."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("models", "cli", "training", "tasks", "storage")]
