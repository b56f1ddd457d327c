"""kafka-python, the pure Python client. Protocol of commands: ../README.md."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from worker import argument, data, next_offsets, serve, text  # noqa: E402

import kafka  # noqa: E402
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition  # noqa: E402
from kafka.admin import NewTopic  # noqa: E402
from kafka.structs import OffsetAndMetadata  # noqa: E402

BASE = {"bootstrap_servers": argument("bootstrap", "127.0.0.1:9092")}
admin = KafkaAdminClient(**BASE)


def describe(_):
    return {"client": "kafka-python", "version": kafka.__version__, "runtime": f"python {sys.version.split()[0]}",
            "codecs": ["none", "gzip", "snappy", "lz4", "zstd"], "partitioner": "murmur2", "limits": ["noEmptyRecord", "nullHeaderValue"]}


def create(command):
    admin.create_topics([NewTopic(command["topic"], command["partitions"], 1, topic_configs=command.get("configs", {}))])


def remove(command):
    admin.delete_topics([command["topic"]])


def produce(command):
    producer = KafkaProducer(**BASE, compression_type=None if command["codec"] == "none" else command["codec"], acks="all",
                             enable_idempotence=command.get("idempotent", False), linger_ms=20, max_request_size=1 << 20)
    try:
        sent = [producer.send(command["topic"], value=data(record["value"]), key=data(record["key"]),
                              headers=[(name, data(value)) for name, value in record["headers"]],
                              partition=record["partition"], timestamp_ms=record["timestamp"])
                for record in command["records"]]
        producer.flush(40)
        placed = [one.get(1) for one in sent]
        return {"placed": [[where.partition, where.offset] for where in placed]}
    finally:
        producer.close(5)


def to_record(message):
    return {"partition": message.partition, "offset": message.offset, "timestamp": message.timestamp,
            "key": text(message.key), "value": text(message.value),
            "headers": [[name, text(value)] for name, value in message.headers]}


def poll(consumer, count, timeout_seconds):
    records = []
    deadline = time.monotonic() + timeout_seconds
    while len(records) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(records)} of {count} records after {timeout_seconds} s")
        for messages in consumer.poll(timeout_ms=200).values():
            records.extend(to_record(message) for message in messages)
    return records[:count]


def reader(group):
    return KafkaConsumer(**BASE, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                         session_timeout_ms=10000)


def consume(command):
    consumer = reader(command["group"])
    try:
        consumer.subscribe([command["topic"]])
        records = poll(consumer, command["count"], command.get("timeoutMs", 30000) / 1000)
        if command.get("commit", True):
            consumer.commit({TopicPartition(command["topic"], partition): OffsetAndMetadata(offset, "", -1)
                             for partition, offset in next_offsets(records).items()})
        return {"records": records}
    finally:
        consumer.close(autocommit=False)


def partitions(command):
    return [TopicPartition(command["topic"], partition) for partition in command["partitions"]]


def assign(command):
    consumer = reader(None)
    try:
        consumer.assign(partitions(command))
        consumer.seek_to_beginning()
        return {"records": poll(consumer, command["count"], command.get("timeoutMs", 30000) / 1000)}
    finally:
        consumer.close()


def committed(command):
    consumer = reader(command["group"])
    try:
        found = {where.partition: consumer.committed(where) for where in partitions(command)}
        return {"offsets": {partition: -1 if offset is None else offset for partition, offset in found.items()}}
    finally:
        consumer.close(autocommit=False)


def watermarks(command):
    consumer = reader(None)
    try:
        low = consumer.beginning_offsets(partitions(command))
        high = consumer.end_offsets(partitions(command))
        return {"partitions": [{"partition": where.partition, "low": low[where], "high": high[where]}
                               for where in partitions(command)]}
    finally:
        consumer.close()


def offsets_for_times(command):
    consumer = reader(None)
    try:
        found = consumer.offsets_for_times({where: command["timestamp"] for where in partitions(command)})
        return {"offsets": {where.partition: -1 if offset is None else offset.offset for where, offset in found.items()}}
    finally:
        consumer.close()


serve({"describe": describe, "create": create, "remove": remove, "produce": produce, "consume": consume, "assign": assign,
       "committed": committed, "watermarks": watermarks, "offsetsForTimes": offsets_for_times})
