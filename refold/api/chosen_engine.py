"""The engine that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refold.engine.data_folder import DataFolder
    from refold.engine.engine import Engine
    from refold.settings.settings import Settings


def engine_of(settings: Settings, folder: DataFolder) -> Engine:
    """The engine of `settings`, to be entered; for the embedded one the caller holds the lock of `folder`."""
    if settings.engine == "cluster":
        from refold.cluster.client.wiring import open_client  # noqa: PLC0415 - the machinery of a cluster

        return open_client(settings)
    from refold.embedded.wiring import open_engine  # noqa: PLC0415 - a forwarded command needs none of the machinery

    return open_engine(settings, folder=folder)
