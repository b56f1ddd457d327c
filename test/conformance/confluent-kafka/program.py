"""confluent-kafka (librdkafka), the C client most other languages' clients are built on. Protocol of commands:
../README.md."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from worker import argument, data, next_offsets, serve, text  # noqa: E402

import confluent_kafka  # noqa: E402
from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

BASE = {"bootstrap.servers": argument("bootstrap", "127.0.0.1:9092")}
admin = AdminClient(BASE)


def describe(_):
    return {
        "client": "confluent-kafka",
        "version": f"{confluent_kafka.version()[0] if isinstance(confluent_kafka.version(), tuple) else confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})",
        "runtime": f"python {sys.version.split()[0]}",
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "partitioner": "murmur2",
        "limits": [],
    }


def create(command):
    topic = NewTopic(command["topic"], num_partitions=command["partitions"], replication_factor=1, config=command.get("configs", {}))
    admin.create_topics([topic])[command["topic"]].result(30)


def remove(command):
    admin.delete_topics([command["topic"]])[command["topic"]].result(30)


def produce(command):
    # librdkafka's own default partitioner hashes with CRC32; murmur2_random is the one that agrees with Java's.
    producer = Producer({**BASE, "compression.type": command["codec"], "enable.idempotence": command.get("idempotent", False),
                         "partitioner": "murmur2_random", "linger.ms": 20, "message.timeout.ms": 30000})
    placed = [None] * len(command["records"])

    def delivered(at):
        def report(error, message):
            placed[at] = error if error is not None else (message.partition(), message.offset())
        return report

    for at, record in enumerate(command["records"]):
        where = {} if record["partition"] is None else {"partition": record["partition"]}
        producer.produce(command["topic"], key=data(record["key"]), value=data(record["value"]), timestamp=record["timestamp"],
                         headers=[(name, data(value)) for name, value in record["headers"]], on_delivery=delivered(at), **where)
    producer.flush(40)
    for where in placed:
        if not isinstance(where, tuple):
            raise RuntimeError(f"not delivered: {where}")
    return {"placed": placed}


def to_record(message):
    return {"partition": message.partition(), "offset": message.offset(), "timestamp": message.timestamp()[1],
            "key": text(message.key()), "value": text(message.value()),
            "headers": [[name, text(value)] for name, value in message.headers() or []]}


def poll(consumer, count, timeout_seconds):
    records = []
    deadline = time.monotonic() + timeout_seconds
    while len(records) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(records)} of {count} records after {timeout_seconds} s")
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise RuntimeError(str(message.error()))
        records.append(to_record(message))
    return records


def reader(group):
    return Consumer({**BASE, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "enable.auto.offset.store": False, "session.timeout.ms": 10000})


def consume(command):
    consumer = reader(command["group"])
    try:
        consumer.subscribe([command["topic"]])
        records = poll(consumer, command["count"], command.get("timeoutMs", 30000) / 1000)
        if command.get("commit", True):
            for where in consumer.commit(offsets=[TopicPartition(command["topic"], partition, offset)
                                                  for partition, offset in next_offsets(records).items()], asynchronous=False):
                if where.error:
                    raise RuntimeError(str(where.error))
        return {"records": records}
    finally:
        consumer.close()


def assign(command):
    consumer = reader("unused")
    try:
        consumer.assign([TopicPartition(command["topic"], partition, 0) for partition in command["partitions"]])
        return {"records": poll(consumer, command["count"], command.get("timeoutMs", 30000) / 1000)}
    finally:
        consumer.close()


def committed(command):
    consumer = reader(command["group"])
    try:
        found = consumer.committed([TopicPartition(command["topic"], partition) for partition in command["partitions"]], timeout=20)
        return {"offsets": {where.partition: where.offset if where.offset >= 0 else -1 for where in found}}
    finally:
        consumer.close()


def watermarks(command):
    consumer = reader("unused")
    try:
        out = []
        for partition in command["partitions"]:
            low, high = consumer.get_watermark_offsets(TopicPartition(command["topic"], partition), timeout=20)
            out.append({"partition": partition, "low": low, "high": high})
        return {"partitions": out}
    finally:
        consumer.close()


def offsets_for_times(command):
    consumer = reader("unused")
    try:
        found = consumer.offsets_for_times([TopicPartition(command["topic"], partition, command["timestamp"])
                                            for partition in command["partitions"]], timeout=20)
        return {"offsets": {where.partition: where.offset if where.offset >= 0 else -1 for where in found}}
    finally:
        consumer.close()


serve({"describe": describe, "create": create, "remove": remove, "produce": produce, "consume": consume, "assign": assign,
       "committed": committed, "watermarks": watermarks, "offsetsForTimes": offsets_for_times})
