"""`refold schema`: the schemas of the events, checked and registered; it needs no data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refold.cli.options import with_json
from refold.cli.output import Result, out, problems_result

app = typer.Typer(help="The Avro schemas of the events.", no_args_is_help=True)


@app.callback()
def schema() -> None:
    """The Avro schemas of the events."""


@app.command(epilog="Example: refold schema check --directory schemas/avro")
@with_json
def check(
    directory: Annotated[Path | None, typer.Option(help="The schemas to check. [default: those installed]")] = None,
) -> Result:
    """Refuse changes of schemas that would leave old or new readers in the cold. Exit code 1 when there are any."""
    from schemas.compatibility import check as check_schemas  # noqa: PLC0415 - the avro package is slow to import

    problems = [
        {"path": str(p.path), "record": p.record, "rule": p.rule, "message": p.message, "hint": p.hint}
        for p in (check_schemas(directory) if directory else check_schemas())
    ]
    return problems_result(problems, place="path", heading="file", good="the schemas are compatible in both directions")


@app.command(epilog="Example: refold schema register --registry https://registry:8081 --prefix refold.library.")
@with_json
def register(
    registry: Annotated[
        str, typer.Option(help="The address of the registry.", metavar="URL", envvar="SCHEMA_REGISTRY_URL")
    ],
    prefix: Annotated[str, typer.Option(help="What the names of the corpus's topics begin with.")],
    user: Annotated[str | None, typer.Option(help="Who asks.", envvar="SCHEMA_REGISTRY_USER")] = None,
    password: Annotated[
        str | None, typer.Option(help="Of that user; better given as the variable.", envvar="SCHEMA_REGISTRY_PASSWORD")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(help="Certificates to trust, as PEM.", metavar="FILE", envvar="SCHEMA_REGISTRY_CA"),
    ] = None,
) -> Result:
    """Register this release's schemas, before anything of it writes. Doing it again changes nothing."""
    from schemas.registries.confluent import register_schemas  # noqa: PLC0415 - of the extra `kafka`
    from schemas.registries.confluent_client import ConfluentClient  # noqa: PLC0415 - as above

    client = ConfluentClient(registry, user=user, password=password, ca_file=ca)
    registered = [
        {
            "record": one.schema.record,
            "version": one.schema.version,
            "subject": one.subject,
            "id": one.schema_id,
            "is_new": one.is_new,
        }
        for one in register_schemas(client, prefix=prefix)
    ]
    client.close()
    new = sum(bool(one["is_new"]) for one in registered)
    said = f"{len(registered)} schemas stand at {client.address}, {new} of them new"
    return Result({"registry": client.address, "schemas": registered}, lambda _: out().print(said))


@app.command(epilog="Example: refold schema asyncapi > asyncapi.yaml")
@with_json
def asyncapi() -> Result:
    """Print the topics and events of a corpus as an AsyncAPI 3.0 document, in YAML, for tools of other teams."""
    from refold import asyncapi as document  # noqa: PLC0415 - nothing else needs it

    return Result(document.asyncapi(), lambda _: typer.echo(document.as_yaml(), nl=False))
