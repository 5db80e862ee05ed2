"""Whether the servers of a corpus answer and are as they have to be, found without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from refold.cluster.connections import open_artifacts, open_log, open_sql
from refold.doctor.result import Checked
from refold.engine.assembly import now
from refold.settings.cluster import ClusterSettings
from schemas.errors import RefoldError, UsageError

HINT = "look whether it runs, and at its address: refold config show"


def examine_cluster(cluster: ClusterSettings) -> Iterator[Checked]:
    """A result per server, in the order in which they are needed."""
    yield _looked_at("topics", lambda: _topics(cluster))
    yield _looked_at("log", lambda: _log(cluster))
    yield _looked_at("postgres", lambda: _postgres(cluster))
    yield _looked_at("opensearch", lambda: _opensearch(cluster))
    yield _looked_at("qdrant", lambda: _qdrant(cluster))
    yield _looked_at("artifacts", lambda: _artifacts(cluster))


def _looked_at(check: str, look: Callable[[], str]) -> Checked:
    try:
        return Checked(check, is_good=True, found=look())
    except RefoldError as error:
        return Checked(check, is_good=False, found=str(error), hint=error.hint)
    except Exception as error:  # noqa: BLE001 - each driver has its own; a person wants to see them all
        return Checked(check, is_good=False, found=str(error).partition("\n")[0][:300], hint=HINT)


def _topics(cluster: ClusterSettings) -> str:
    from streams.logs.kafka.topics import KafkaTopics  # noqa: PLC0415 - an extra
    from streams.logs.topic_plan import load_topics  # noqa: PLC0415 - as above

    if "bootstrap.servers" not in cluster.kafka:
        raise UsageError("no address is set", hint="KAFKA_BOOTSTRAP_SERVERS, or cluster.kafka with bootstrap.servers")
    found = KafkaTopics(cluster.corpus, cluster.kafka).found()
    lacking = sorted(load_topics().keys() - found.keys())
    if lacking:
        raise UsageError(f"{', '.join(lacking)}: not there", hint=f"refold topics apply --corpus {cluster.corpus}")
    return f"{len(found)} topics of corpus {cluster.corpus}"


def _log(cluster: ClusterSettings) -> str:
    log = open_log(cluster)
    try:
        end = log.end(log.partitions("documents"))
        return f"{len(log.partitions('documents'))} slots, {sum(end.values())} offsets in documents"
    finally:
        log.close()


def _postgres(cluster: ClusterSettings) -> str:
    engine = open_sql(cluster, read_only=True)
    try:
        with engine.connect() as connection:
            return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"
    finally:
        engine.dispose()


def _opensearch(cluster: ClusterSettings) -> str:
    from projections.backends.opensearch.server import connect  # noqa: PLC0415 - an extra

    if cluster.opensearch is None:
        raise UsageError("no address is set", hint="OPENSEARCH_URL")
    limit = {"request_timeout": cluster.search_timeout_s}
    answer = connect(cluster.opensearch.get_secret_value()).info(params=limit)
    return f"{answer['version'].get('distribution', 'elasticsearch')} {answer['version']['number']}"


def _qdrant(cluster: ClusterSettings) -> str:
    from projections.backends.qdrant.server import connect  # noqa: PLC0415 - an extra

    if cluster.qdrant is None:
        raise UsageError("no address is set", hint="QDRANT_URL")
    key = cluster.qdrant_api_key
    client = connect(
        cluster.qdrant,
        api_key=key.get_secret_value() if key else None,
        grpc_port=cluster.qdrant_grpc_port,
        timeout_s=cluster.search_timeout_s,
    )
    client.collection_exists(f"refold-{cluster.corpus}-vector-g1")
    return "answers"


def _artifacts(cluster: ClusterSettings) -> str:
    open_artifacts(cluster, clock=now).close()
    return str(cluster.artifacts)
