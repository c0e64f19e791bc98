"""Lets these tests import the small networks of the decide tests, however pytest imports them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))
