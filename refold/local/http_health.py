"""Whether a server on this machine answers over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request


def answers(url: str) -> bool:
    """Whether a GET of `url`, of this machine, gives 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own addresses, on loopback
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (OSError, urllib.error.URLError, ValueError):
        return False
