"""`refold worker` and `refold projector`: the processes of the cluster engine."""

from __future__ import annotations

import typer

from refold.cli.options import ConfigOption, settings_of, with_json
from refold.cli.output import Result


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker", epilog="Example: refold worker --config cluster.yaml")(worker)
    app.command("projector", epilog="Example: refold projector --config cluster.yaml")(projector)


@with_json
def worker(config: ConfigOption = None) -> Result:
    """Work on documents of a cluster, as one of any number of workers, until SIGTERM or Ctrl-C."""
    from refold.cluster.worker.process import run_worker  # noqa: PLC0415 - the machinery of a cluster

    run_worker(settings_of(None, config, "cluster"))
    return Result({"ended": "stopped"})


@with_json
def projector(config: ConfigOption = None) -> Result:
    """Keep a cluster's views and indexes up to date, as one of any number of projectors, until SIGTERM or Ctrl-C."""
    from refold.cluster.projector.process import run_projector  # noqa: PLC0415 - as above

    run_projector(settings_of(None, config, "cluster"))
    return Result({"ended": "stopped"})
