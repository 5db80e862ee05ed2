"""What PostgreSQL's SQLSTATEs mean here."""

from __future__ import annotations

from projections.fold.view import GenerationGone
from schemas.errors import DataFolderDamaged, DiskFull, FatalError, MachineError, RefoldError, TransientError

_AWAY = (TransientError, "check that the PostgreSQL server runs and can be reached; it is tried again")
_BUSY = (TransientError, "another process is writing; it is tried again")
_SCARCE = (TransientError, "give the PostgreSQL server more memory or connections; it is tried again")
_REFUSED = (MachineError, "check the user, the database and its rights: the role must be able to create a schema")
_DAMAGED = (DataFolderDamaged, "drop the corpus's schema in PostgreSQL and run: refold rebuild all")

POSTGRES_FAULTS: dict[str, tuple[type[RefoldError], str | None]] = {
    # Of a class, by its two characters; of one state, by all five, which goes first.
    "08": _AWAY,
    "0B": _AWAY,
    "0L": _REFUSED,
    "0P": _REFUSED,
    "25006": (MachineError, "write to the primary: this PostgreSQL server, or this engine, is for reading only"),
    "25P03": (TransientError, "the transaction paused for too long; it is tried again"),
    "25P04": (TransientError, "the transaction took too long; it is tried again"),
    "28": _REFUSED,
    "3D": _REFUSED,
    "3F": _REFUSED,
    "23503": (GenerationGone, None),  # the one foreign key: the generation it was written for is gone
    "40": _BUSY,
    "42501": _REFUSED,
    "42P01": (TransientError, "its tables were replaced meanwhile; if it stays so, run: refold rebuild all"),
    "53": _SCARCE,
    "53100": (DiskFull, "make space on the PostgreSQL server, then run the command again"),
    "54": (FatalError, "a value is larger than PostgreSQL stores"),
    "55": _BUSY,
    "57": _AWAY,
    "57014": (TransientError, "a statement took too long; it is tried again"),
    "57P04": _REFUSED,
    "58": (MachineError, "check the disk of the PostgreSQL server: reading or writing it failed"),
    "72": (TransientError, "the snapshot grew too old; it is tried again"),
    "F0": (MachineError, "check the configuration of the PostgreSQL server"),
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""Whatever has no entry is a fault of our own and becomes FatalError."""


def postgres_fault(sqlstate: str | None, *, is_operational: bool) -> tuple[type[RefoldError], str | None] | None:
    """The class and the hint; None if it is a fault of our own.

    A server that cannot be reached, or went away within a statement, has no SQLSTATE, and neither has one that turns
    down a password: the driver gives but its words, in the server's language.
    """
    if sqlstate is None:
        return _AWAY if is_operational else None
    return POSTGRES_FAULTS.get(sqlstate) or POSTGRES_FAULTS.get(sqlstate[:2])
