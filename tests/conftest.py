"""What every test may import: the helpers in this folder, by their file names."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_unconfigure() -> None:
    """Leave nothing on servers."""
    views = sys.modules.get("tests.sql_views")
    if views is not None:
        views.drop_schemas()
