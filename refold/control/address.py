"""Where the owner of a data folder listens."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from refold.settings.folder_access import FolderAccess

PATH_LIMIT_BYTES = 100
"""Unix socket paths hold 104 (macOS) to 108 (Linux) bytes with their end."""

_POINTER = "control.path"
_SOCKET = "control.sock"


def listening_path(folder: Path, access: FolderAccess = FolderAccess.USER) -> Path:
    """Where a new owner is to listen: in the folder, or in a short directory of its own that the folder names."""
    own = folder.resolve() / _SOCKET
    pointer = folder / _POINTER
    if len(os.fsencode(own)) <= PATH_LIMIT_BYTES:
        pointer.unlink(missing_ok=True)
        return own
    directory = Path(tempfile.mkdtemp(prefix="refold-"))
    access.make_folder(directory)
    access.make_file(pointer).write_text(str(directory / _SOCKET))
    return directory / _SOCKET


def calling_path(folder: Path) -> Path:
    """Where the owner of the folder says it listens."""
    try:
        return Path((folder / _POINTER).read_text())
    except OSError:
        return folder.resolve() / _SOCKET


def forget(path: Path) -> None:
    """Remove the socket of an owner that ends, and the short directory made for it."""
    path.unlink(missing_ok=True)
    if path.parent.name.startswith("refold-") and path.parent.parent == Path(tempfile.gettempdir()):
        path.parent.rmdir()
