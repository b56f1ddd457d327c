"""A group member on kafka-python; see ../README.md."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from worker import argument  # noqa: E402
from member import OPTIONS, Log, leaving  # noqa: E402

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition  # noqa: E402
from kafka.structs import OffsetAndMetadata  # noqa: E402

log = Log()
consumer = KafkaConsumer(
    bootstrap_servers=argument("bootstrap", "127.0.0.1:9092"), group_id=OPTIONS["group"], auto_offset_reset="earliest",
    enable_auto_commit=False, session_timeout_ms=OPTIONS["sessionTimeoutMs"], heartbeat_interval_ms=OPTIONS["heartbeatMs"],
    fetch_max_wait_ms=100, reconnect_backoff_max_ms=500, group_instance_id=OPTIONS.get("instanceId"))


def names(partitions):
    return [(one.topic, one.partition) for one in partitions]


def commit():
    positions = log.positions()
    if not positions:
        return
    try:
        consumer.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
                         for topic, partition, offset in positions}, timeout_ms=5000)
        log.committed(positions)
    except Exception as error:
        log.failed("commit", error)


class Listener(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        commit()
        log.revoked(names(revoked))

    def on_partitions_lost(self, lost):
        log.revoked(names(lost), "lost")

    def on_partitions_assigned(self, assigned):
        metadata = consumer.group_metadata()
        log.assigned(names(assigned), metadata.generation_id, metadata.member_id)


consumer.subscribe(OPTIONS["topics"], listener=Listener())
while not leaving.is_set():
    try:
        # Long, because of a fault of 3.0.12: a leader that rejoins because its topics' metadata changed, and whose poll ends before
        # JoinGroup and SyncGroup are answered, forgets that it was joining. It is then a member without partitions for good.
        batches = consumer.poll(timeout_ms=2000)
    except Exception as error:
        log.failed("poll", error)
        continue
    generation = consumer.group_metadata().generation_id
    for messages in batches.values():
        for message in messages:
            log.read(message.topic, message.partition, message.offset, generation)
    commit()
consumer.close(autocommit=False)
log.say("left")
