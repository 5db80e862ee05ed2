"""`refold status` and `refold doctor`."""

from __future__ import annotations

import typer

from refold.cli.options import call, with_settings
from refold.cli.output import EXIT_NO, human_bytes, out, print_facts, print_json, print_table, print_warning
from refold.settings.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status", epilog="Example: refold status --json")(status)
    app.command("doctor", epilog="Examples: refold doctor · refold doctor --data /srv/refold --json")(doctor)


@with_settings
def status(
    *,
    settings: Settings,
    as_json: bool,
) -> int:
    """Show documents, jobs, and how far each projection is behind the log."""
    answer = call(settings, "status", {})
    if as_json:
        print_json(answer)
        return 0
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
    for told in answer["projections"]:
        if told["error"]:  # beside the table: a sentence in a column of a narrow terminal is nothing to read
            print_warning(f"{told['name']}: {told['error']}", told["hint"])
    return 0


@with_settings
def doctor(
    *,
    settings: Settings,
    as_json: bool,
) -> int:
    """Check this machine and the data folder: what is missing, damaged or tight. Exit code 1 when something is."""
    from refold.doctor.machine import examine  # noqa: PLC0415 - needed by this command only

    results = examine(settings)
    if as_json:
        print_json({"ok": all(r.is_good for r in results), "checks": [r.as_json() for r in results]})
    else:
        print_table(("check", "", "found", "hint"), [(r.check, r.mark, r.found, r.hint or "") for r in results])
    return 0 if all(r.is_good for r in results) else EXIT_NO
