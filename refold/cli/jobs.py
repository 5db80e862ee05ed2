"""`refold jobs`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from refold.cli.options import ConfigOption, DataOption, EngineOption, JsonOption, call, with_settings
from refold.cli.output import Result, out, print_facts, print_table, short_time, tell_open_of_others
from refold.settings.settings import Settings

app = typer.Typer(help="What was asked for, and how far it is.", no_args_is_help=False, invoke_without_command=True)

ID_SHOWN = 8
"""Characters of a job id in a table: enough to name it by."""

JobArgument = Annotated[str, typer.Argument(help="A job id, or the beginning of one.")]


@app.callback()
def jobs(
    context: typer.Context,
    data: DataOption = None,
    config: ConfigOption = None,
    engine: EngineOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """List jobs, when no other command follows."""
    if context.invoked_subcommand is None:
        list_(data=data, config=config, engine=engine, as_json=as_json)


@app.command("list", epilog="Examples: refold jobs · refold jobs list --limit 5 --json")
@with_settings
def list_(
    *, limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20, settings: Settings
) -> Result:
    """List jobs, the latest first."""
    return Result(call(settings, "jobs list", {"limit": limit}), _show_list)


def _show_list(answer: dict[str, Any]) -> None:
    rows = [
        (
            j["job_id"][:ID_SHOWN],
            j["status"],
            j["requested"],
            j["completed"],
            j["failed"],
            short_time(j["submitted_at"]),
            _sources(j["sources"]),
        )
        for j in answer["jobs"]
    ]
    columns = ("job", "status", "requested", "completed", "failed", "submitted", "sources")
    print_table(columns, rows, right=("requested", "completed", "failed"))


@app.command(epilog="Examples: refold jobs show 5f2c · refold jobs show 5f2c --json")
@with_settings
def show(job: JobArgument, settings: Settings) -> Result:
    """Show one job with its counts, stages and failures."""
    return Result(call(settings, "jobs show", {"job": job}), _show_job)


def _show_job(answer: dict[str, Any]) -> None:
    print_facts({k: v for k, v in answer.items() if not isinstance(v, list | dict)})
    print_facts({f"stage {name}": totals for name, totals in answer["stages"].items()})
    print_table(("failed", "code", "message"), [(f["uri"], f["error_code"], f["message"]) for f in answer["failures"]])


def _sources(sources: list[str]) -> str:
    return " ".join([*sources[:1], f"and {len(sources) - 1} more"] if len(sources) > 1 else sources)


def _steer(action: str, done: str, job: str, settings: Settings) -> Result:
    def show(answer: dict[str, Any]) -> None:
        out().print(f"job {answer['job_id']} {done}")
        tell_open_of_others(answer)

    return Result(call(settings, f"jobs {action}", {"job": job}), show)


@app.command(epilog="Example: refold jobs pause 5f2c")
@with_settings
def pause(job: JobArgument, settings: Settings) -> Result:
    """Let what has not started of a job wait."""
    return _steer("pause", "is paused; go on with: refold jobs resume", job, settings)


@app.command(epilog="Example: refold jobs resume 5f2c")
@with_settings
def resume(job: JobArgument, settings: Settings) -> Result:
    """Let a paused job go on, and wait for it when nobody else works on the folder."""
    return _steer("resume", "goes on", job, settings)


@app.command(epilog="Example: refold jobs cancel 5f2c")
@with_settings
def cancel(job: JobArgument, settings: Settings) -> Result:
    """Cancel a job: what has not started is answered DocumentCancelled; what is done stays."""
    return _steer("cancel", "is cancelled", job, settings)
