"""The application: every command, and the one place where errors become words and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from projections.fold.panics import is_panic
from refold import __version__
from refold.cli import (
    cache,
    cluster,
    config,
    consistency,
    dev,
    documents,
    ingest,
    jobs,
    log,
    schema,
    search,
    status,
    topics,
)
from refold.cli.output import EXIT_INTERRUPTED, EXIT_MACHINE, EXIT_USAGE, err, print_error
from refold.control.messages import exit_code_of
from schemas.errors import DiskFull, FatalError, RefoldError, UsageError

app = typer.Typer(
    name="refold",
    help="Turn a growing pile of documents into search indexes that can be trusted.\n\n"
    "Start with: refold ingest FOLDER, then: refold search 'some words'.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=lambda on: _tell_version(is_on=on)
        ),
    ] = False,
) -> None:
    """Options of refold itself, before any command."""
    del version


def _tell_version(*, is_on: bool) -> None:
    if is_on:
        typer.echo(__version__)
        raise typer.Exit


ingest.register(app)
search.register(app)
status.register(app)
consistency.register(app)
cluster.register(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(documents.app, name="documents")
app.add_typer(log.app, name="log")
app.add_typer(cache.app, name="cache")
app.add_typer(config.app, name="config")
app.add_typer(schema.app, name="schema")
app.add_typer(topics.app, name="topics")
app.add_typer(dev.app, name="dev")


def run() -> None:
    """Run and exit: 0 good, 1 the answer is no, 2 usage, 3 a server is away, 4 this machine or folder, 130 stopped."""
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=False)
    except RefoldError as error:
        print_error(error, as_json=as_json)
        sys.exit(exit_code_of(error))
    except TyperException as error:
        print_error(UsageError(error.format_message(), hint=_help_hint(error)), as_json=as_json)
        sys.exit(EXIT_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        err().print("refold: stopped; what was done is kept, and the job goes on with the next ingest")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        sys.exit(0)
    except BaseException as error:  # a person gets a line and a hint, never a traceback
        is_ours = isinstance(error, Exception) or is_panic(error)
        if not is_ours or os.environ.get("REFOLD_LOG_LEVEL") == "debug":
            raise
        print_error(_unforeseen(error), as_json=as_json)
        sys.exit(EXIT_MACHINE)
    sys.exit(code if isinstance(code, int) else 0)


def _help_hint(error: TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    return f"see: {context.command_path if context is not None else 'refold'} --help"


def _unforeseen(error: BaseException) -> FatalError:
    """An error that was not translated where it happened, as a line for a person."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"{error.filename or 'the data folder'}: {error.strerror}", hint="free some space and go on")
    hint = "this is a bug; please report it with what REFOLD_LOG_LEVEL=debug shows"
    return FatalError(f"internal error: {error!r}", hint=hint)
