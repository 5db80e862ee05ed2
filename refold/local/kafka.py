"""Kafka: one node that is broker and controller (KRaft)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from refold.local.packages import class_path, java
from refold.local.server import LOOPBACK, Launch, Software, free_port, listens
from schemas.errors import MachineError

PACKAGES = (
    "org.apache.kafka:kafka_2.13:4.1.0",
    "org.apache.kafka:kafka-tools:4.1.0",
    "org.slf4j:slf4j-simple:1.7.36",
)
HEAP = "-Xmx512m"

_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def launch(home: Path, port: int) -> Launch:
    """Kafka on `port`, its storage formatted if it is new."""
    classes, properties, data = class_path("kafka", PACKAGES), home / "server.properties", home / "data"
    properties.write_text(_PROPERTIES.format(host=LOOPBACK, port=port, controller_port=free_port(), data=data))
    if not (data / "meta.properties").exists():
        _format(home, properties, classes=classes)
    return Launch(command=[java(), HEAP, "-cp", classes, "kafka.Kafka", str(properties)])


def _format(home: Path, properties: Path, *, classes: str) -> None:
    shutil.rmtree(home / "data", ignore_errors=True)  # of a formatting that was cut short
    tool = [java(), "-cp", classes, "kafka.tools.StorageTool"]
    cluster_id = "refold-local-cluster-1"  # 22 characters, as base64 of a uuid has
    command = [*tool, "format", "--cluster-id", cluster_id, "--config", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise MachineError(f"Kafka's storage cannot be made: {done.stderr[-300:]}", op="dev up", hint=f"see {home}")


def _address(port: int) -> str:
    return f"{LOOPBACK}:{port}"


def _answers(port: int) -> bool:
    """Whether the broker gives its metadata; without the client, whether it accepts connections."""
    try:
        from confluent_kafka import KafkaException  # noqa: PLC0415 - an extra
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as above
    except ImportError:
        return listens(port)
    try:
        return bool(AdminClient({"bootstrap.servers": _address(port), "log_level": 0}).list_topics(timeout=2).brokers)
    except KafkaException:
        return False


SOFTWARE = Software(
    launch=launch, is_healthy=_answers, variables=lambda port: {"KAFKA_BOOTSTRAP_SERVERS": _address(port)}
)
