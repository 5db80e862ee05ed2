"""`refold dev`: real servers on this machine, for development and for tests; it needs no data folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from refold.cli.options import with_json
from refold.cli.output import EXIT_INTERRUPTED, EXIT_NO, Result, err, out, print_table
from schemas.errors import UsageError

if TYPE_CHECKING:
    from refold.local.stack import ServerStatus, Stack

app = typer.Typer(
    help="Kafka, a schema registry, OpenSearch and PostgreSQL on this machine, without Docker.", no_args_is_help=True
)

FolderOption = Annotated[Path, typer.Option("--dir", help="Where the servers keep their files.", metavar="DIR")]
FOLDER = Path("refold-dev")
LAST_PORT = 65_535


@app.command(epilog="Examples: refold dev up · refold dev up kafka postgres --port kafka=9092")
@with_json
def up(
    *,
    servers: Annotated[list[str] | None, typer.Argument(help="kafka, registry, opensearch, postgres; all.")] = None,
    folder: FolderOption = FOLDER,
    port: Annotated[
        list[str] | None, typer.Option(help="Where a server listens, instead of a free port.", metavar="SERVER=PORT")
    ] = None,
    as_json: bool,
) -> Result | int:
    """Start servers and wait until they answer; the first time they are fetched with Maven. Running ones are left."""
    from refold.local.server import NotUp  # noqa: PLC0415 - few commands need it

    try:
        statuses = _stack(folder).up(servers or (), ports=_ports(port or []))
    except NotUp as error:
        for line in () if as_json else error.last_lines:
            err().print(Text(f"{error.subject}: {line}"))
        raise
    except KeyboardInterrupt:
        err().print("refold: stopped, and with it what was started")
        return EXIT_INTERRUPTED
    return _shown(statuses)


@app.command(epilog="Example: refold dev down")
@with_json
def down(folder: FolderOption = FOLDER) -> Result:
    """Stop the servers and delete all that they kept: no process and no file is left."""
    stopped = _stack(folder).down()
    return Result(
        {"stopped": stopped}, lambda _: out().print(f"stopped: {', '.join(stopped) or 'nothing was running'}")
    )


@app.command(epilog="Example: refold dev status --json")
@with_json
def status(folder: FolderOption = FOLDER) -> Result:
    """How each server is. Exit code 1 when one does not run or answer."""
    return _shown(_stack(folder).status())


@app.command(epilog='Example: eval "$(refold dev env)"')
@with_json
def env(folder: FolderOption = FOLDER) -> Result:
    """The variables with which commands and tests find the running servers. Exit code 1 when none runs."""
    variables = _stack(folder).variables()
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    return Result({"variables": dict(variables)}, lambda _: typer.echo(lines, nl=False), 0 if variables else EXIT_NO)


def _stack(folder: Path) -> Stack:
    from refold.local.stack import Stack  # noqa: PLC0415 - few commands need it

    return Stack(folder, on_wait=lambda: err().print(f"waiting for another refold dev that works on {folder}"))


def _ports(given: list[str]) -> dict[str, int]:
    ports = {}
    for one in given:
        server, _, number = one.partition("=")
        if not number.isdecimal() or not 0 < int(number) <= LAST_PORT:
            raise UsageError(f"{one!r} is no SERVER=PORT", op="read --port", hint="--port kafka=9092")
        ports[server] = int(number)
    return ports


def _shown(statuses: list[ServerStatus]) -> Result:
    servers = [{"server": one.name, "state": one.state, "variables": dict(one.variables)} for one in statuses]
    rows = [(one.name, one.state, " ".join(one.variables.values())) for one in statuses]
    return Result(
        {"servers": servers},
        lambda _: print_table(("server", "state", "address"), rows),
        0 if all(one.state == "running" for one in statuses) else EXIT_NO,
    )
