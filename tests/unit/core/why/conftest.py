"""Lets these tests use the small cluster that the laws use."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "laws"))
