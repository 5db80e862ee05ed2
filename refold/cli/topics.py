"""`refold topics`: the topics of a corpus in Kafka; they need no data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refold.cli.options import with_json
from refold.cli.output import Result, print_facts, problems_result
from schemas.errors import UsageError

app = typer.Typer(help="The topics of a corpus in Kafka.", no_args_is_help=True)

CorpusOption = Annotated[str, typer.Option("--corpus", help="The topics are refold.CORPUS.…", metavar="NAME")]
ServersOption = Annotated[
    str | None,
    typer.Option("--bootstrap-servers", help="Where Kafka is.", envvar="KAFKA_BOOTSTRAP_SERVERS", metavar="HOST:PORT"),
]
ClientOption = Annotated[
    list[str] | None,
    typer.Option("--client", help="A setting of the Kafka client, such as security.protocol=SSL.", metavar="KEY=VALUE"),
]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="What the topics are to be. [default: the installed topics.yaml]")
]
PartitionsOption = Annotated[
    int | None, typer.Option("--partitions", min=1, help="Of requests and documents, instead of the file's.")
]
ReplicationOption = Annotated[
    int | None, typer.Option("--replication", min=1, help="Replicas of each, instead of the file's.")
]


@app.command(
    epilog="Examples: refold topics check --corpus papers --bootstrap-servers kafka:9092 · refold topics check --file F"
)
@with_json
def check(
    corpus: CorpusOption = "default",
    servers: ServersOption = None,
    client: ClientOption = None,
    file: FileOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
) -> Result:
    """Compare the topics with what they are to be; without an address, only check the file. Exit code 1 if not so."""
    from streams.logs.kafka.topics import KafkaTopics  # noqa: PLC0415 - an engine that few commands need
    from streams.logs.topic_plan import load_topics, problems_of_plan  # noqa: PLC0415 - as above

    plans = load_topics(file, partitions=partitions, replication_factor=replication)
    settings = _client(servers, client)
    found = KafkaTopics(corpus, settings).check(plans) if settings else problems_of_plan(plans)
    problems = [{"topic": p.topic, "rule": p.rule, "message": p.message, "hint": p.hint} for p in found]
    good = "the topics are as they are to be" if settings else "the topics file is good; no topic was compared"
    return problems_result(problems, place="topic", heading="topic", good=good, compared=bool(settings))


@app.command(epilog="Example: refold topics apply --corpus papers --bootstrap-servers kafka:9092")
@with_json
def apply(
    corpus: CorpusOption = "default",
    servers: ServersOption = None,
    client: ClientOption = None,
    file: FileOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
) -> Result:
    """Make the topics that are lacking and set what is otherwise. Nothing is deleted; partitions are never changed."""
    from streams.logs.kafka.topics import KafkaTopics  # noqa: PLC0415 - an engine that few commands need
    from streams.logs.topic_plan import load_topics  # noqa: PLC0415 - as above

    plans = load_topics(file, partitions=partitions, replication_factor=replication)
    settings = _client(servers, client)
    if not settings:
        raise UsageError(
            "where Kafka is was not said", op="apply topics", hint="give --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS"
        )
    applied = KafkaTopics(corpus, settings).apply(plans)
    changed = [{"topic": topic, "settings": list(keys)} for topic, keys in applied.changed.items()]
    value = {"created": list(applied.created), "changed": changed, "unchanged": list(applied.unchanged)}
    sets = {topic: f"set {', '.join(keys)}" for topic, keys in applied.changed.items()}
    facts = {**dict.fromkeys(applied.created, "created"), **sets, **dict.fromkeys(applied.unchanged, "unchanged")}
    return Result(value, lambda _: print_facts(facts))


def _client(servers: str | None, client: list[str] | None) -> dict[str, str]:
    """The client's settings, or none if no address of Kafka was given."""
    settings = {"bootstrap.servers": servers} if servers else {}
    for setting in client or ():
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"{setting!r} is no KEY=VALUE", op="read --client", hint="--client security.protocol=SSL")
        settings[key] = value
    return settings if "bootstrap.servers" in settings else {}
