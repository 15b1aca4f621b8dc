"""What tests of attribution share with each other, and with those of training: a tiny random chat model."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("training", "integration", "attribution")]
