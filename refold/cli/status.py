"""`refold status` and `refold doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from refold.cli.options import call, with_settings
from refold.cli.output import EXIT_NO, Result, human_bytes, out, print_facts, print_table, print_warning
from refold.settings.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status", epilog="Example: refold status --json")(status)
    app.command("doctor", epilog="Examples: refold doctor · refold doctor --data /srv/refold --json")(doctor)


@with_settings
def status(settings: Settings) -> Result:
    """Show documents, jobs, and how far each projection is behind the log."""
    return Result(call(settings, "status"), _show)


def _show(answer: dict[str, Any]) -> None:
    print_facts(answer["documents"])
    names = ("lag_events", "lag_s", "documents", "chunks", "parked")
    rows = [(p["name"], p["state"].replace("_", " "), *(p.get(n, "") for n in names)) for p in answer["projections"]]
    print_table(("projection", "state", *names), rows, right=names)
    rows = [(j["job_id"], j["status"], j["requested"], j["completed"]) for j in answer["jobs"]]
    print_table(("job", "status", "requested", "completed"), rows, right=("requested", "completed"))
    if answer["size_bytes"] is None:
        out().print(f"{answer['data']}, on servers")
    else:
        out().print(f"{answer['data']}: {human_bytes(answer['size_bytes'])}, format {answer['format']}")
    for one in answer["projections"]:
        if one["error"]:  # below the table: a sentence in a column of a narrow terminal cannot be read
            print_warning(f"{one['name']}: {one['error']}", one["hint"])


@with_settings
def doctor(settings: Settings) -> Result:
    """Check this machine and the data folder: what is missing, damaged or tight. Exit code 1 when something is."""
    from refold.doctor.machine import examine  # noqa: PLC0415 - needed by this command only

    checks = [asdict(checked) for checked in examine(settings)]
    is_good = all(one["is_good"] for one in checks)
    rows = [(one["check"], "ok" if one["is_good"] else "!!", one["found"], one["hint"]) for one in checks]
    return Result(
        {"ok": is_good, "checks": checks},
        lambda _: print_table(("check", "", "found", "hint"), rows),
        0 if is_good else EXIT_NO,
    )
