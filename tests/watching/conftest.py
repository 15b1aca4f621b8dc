"""What the tests of watching share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # trainings
sys.path.insert(0, str(Path(__file__).parents[1] / "drift"))  # made_stances
sys.path.insert(0, str(Path(__file__).parents[1] / "plug_ins"))  # own_plug_ins
