"""What these tests share with others: the tiny model, and an engine and a judge that need none."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("training", "plug_ins")]
