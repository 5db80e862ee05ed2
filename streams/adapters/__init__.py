"""The technologies of the adapter port (`streams/adapter.py`)."""

from streams.adapters.files import FileContent, Files, PathNotAllowed, SourceTooLarge
from streams.adapters.folder import FolderAdapter, FolderOptions
from streams.adapters.sources import ADAPTERS, adapter_for

__all__ = [
    "ADAPTERS",
    "FileContent",
    "Files",
    "FolderAdapter",
    "FolderOptions",
    "PathNotAllowed",
    "SourceTooLarge",
    "adapter_for",
]
