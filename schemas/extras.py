"""What the modules that need an optional dependency say when it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import UsageError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Within it, the packages of refold's extra `name` are imported.

    Raises:
        UsageError: one is not installed; the hint installs it.
    """
    try:
        yield
    except ImportError as exc:
        raise UsageError(
            f"this needs the {name} extra: {exc}", op="import", subject=name, hint=f"pip install 'refold[{name}]'"
        ) from exc
