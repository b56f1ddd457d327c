"""A group member on confluent-kafka (librdkafka), classic, cooperative or next-generation; see ../README.md."""

import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from worker import argument  # noqa: E402
from member import OPTIONS, Log, leaving  # noqa: E402

from confluent_kafka import Consumer, KafkaException, TopicPartition  # noqa: E402

log = Log()
settings = {
    "bootstrap.servers": argument("bootstrap", "127.0.0.1:9092"), "group.id": OPTIONS["group"], "auto.offset.reset": "earliest",
    "enable.auto.commit": False, "fetch.wait.max.ms": 100, "reconnect.backoff.max.ms": 500, "topic.metadata.refresh.interval.ms": 1000,
}
if OPTIONS["protocol"] == "consumer":
    settings["group.protocol"] = "consumer"
else:
    settings.update({
        "session.timeout.ms": OPTIONS["sessionTimeoutMs"], "heartbeat.interval.ms": OPTIONS["heartbeatMs"],
        "partition.assignment.strategy": "cooperative-sticky" if OPTIONS["protocol"] == "cooperative" else "range",
    })
if "instanceId" in OPTIONS:
    settings["group.instance.id"] = OPTIONS["instanceId"]
consumer = Consumer(settings)


def generation():
    """Generation, or member epoch: what stands behind the magic of librdkafka's serialised group metadata."""
    metadata = consumer.consumer_group_metadata()
    return struct.unpack_from("=i", metadata, 7)[0]


def names(partitions):
    return [(one.topic, one.partition) for one in partitions]


def commit():
    positions = log.positions()
    if not positions:
        return
    try:
        for one in consumer.commit(offsets=[TopicPartition(*position) for position in positions], asynchronous=False):
            if one.error:
                raise KafkaException(one.error)
        log.committed(positions)
    except KafkaException as error:
        log.failed("commit", error)


def on_revoke(_, partitions):
    commit()
    log.revoked(names(partitions))


consumer.subscribe([OPTIONS["pattern"]] if "pattern" in OPTIONS else OPTIONS["topics"],
                   on_assign=lambda _, partitions: log.assigned(names(partitions), generation(), consumer.memberid()),
                   on_revoke=on_revoke, on_lost=lambda _, partitions: log.revoked(names(partitions), "lost"))
while not leaving.is_set():
    message = consumer.poll(0.1)
    count = 0
    while message is not None and count < 200:
        if message.error():
            log.failed("poll", KafkaException(message.error()))
        else:
            log.read(message.topic(), message.partition(), message.offset(), generation())
        count += 1
        message = consumer.poll(0)
    if message is not None and not message.error():
        log.read(message.topic(), message.partition(), message.offset(), generation())
    commit()
consumer.close()
log.say("left")
