"""aiokafka, the asyncio Python client. Protocol of commands: ../README.md."""

import asyncio
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from worker import argument, data, next_offsets, serve, text  # noqa: E402

import aiokafka  # noqa: E402
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # noqa: E402
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: E402

BASE = {"bootstrap_servers": argument("bootstrap", "127.0.0.1:9092")}
loop = asyncio.new_event_loop()


def running(operation):
    """A plain function that runs the coroutine function to its end."""
    return lambda command: loop.run_until_complete(asyncio.wait_for(operation(command), 90))


async def describe(_):
    return {"client": "aiokafka", "version": aiokafka.__version__, "runtime": f"python {sys.version.split()[0]}",
            "codecs": ["none", "gzip", "snappy", "lz4", "zstd"], "partitioner": "murmur2", "limits": ["noEmptyRecord"]}


async def with_admin(work):
    admin = AIOKafkaAdminClient(**BASE)
    await admin.start()
    try:
        return await work(admin)
    finally:
        await admin.close()


async def create(command):
    topic = NewTopic(command["topic"], command["partitions"], 1, topic_configs=command.get("configs", {}))
    answer = await with_admin(lambda admin: admin.create_topics([topic]))
    for name, code, *reason in answer.topic_errors:
        if code != 0:
            raise RuntimeError(f"{name}: error {code} {reason}")


async def remove(command):
    await with_admin(lambda admin: admin.delete_topics([command["topic"]]))


async def produce(command):
    producer = AIOKafkaProducer(**BASE, compression_type=None if command["codec"] == "none" else command["codec"], acks="all",
                                enable_idempotence=command.get("idempotent", False), linger_ms=20)
    await producer.start()
    try:
        sent = [await producer.send(command["topic"], value=data(record["value"]), key=data(record["key"]),
                                    headers=[(name, data(value)) for name, value in record["headers"]],
                                    partition=record["partition"], timestamp_ms=record["timestamp"])
                for record in command["records"]]
        placed = await asyncio.wait_for(asyncio.gather(*sent), 40)
        return {"placed": [[where.partition, where.offset] for where in placed]}
    finally:
        await producer.stop()


def to_record(message):
    return {"partition": message.partition, "offset": message.offset, "timestamp": message.timestamp,
            "key": text(message.key), "value": text(message.value),
            "headers": [[name, text(value)] for name, value in message.headers]}


async def poll(consumer, count, timeout_seconds):
    records = []
    deadline = time.monotonic() + timeout_seconds
    while len(records) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(records)} of {count} records after {timeout_seconds} s")
        for messages in (await consumer.getmany(timeout_ms=200)).values():
            records.extend(to_record(message) for message in messages)
    return records[:count]


async def with_reader(group, topics, work):
    consumer = AIOKafkaConsumer(*topics, **BASE, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                                session_timeout_ms=10000)
    await consumer.start()
    try:
        return await work(consumer)
    finally:
        await consumer.stop()


async def consume(command):
    async def work(consumer):
        records = await poll(consumer, command["count"], command.get("timeoutMs", 30000) / 1000)
        if command.get("commit", True):
            await consumer.commit({TopicPartition(command["topic"], partition): offset
                                   for partition, offset in next_offsets(records).items()})
        return {"records": records}

    return await with_reader(command["group"], [command["topic"]], work)


def partitions(command):
    return [TopicPartition(command["topic"], partition) for partition in command["partitions"]]


async def assign(command):
    async def work(consumer):
        consumer.assign(partitions(command))
        await consumer.seek_to_beginning()
        return {"records": await poll(consumer, command["count"], command.get("timeoutMs", 30000) / 1000)}

    return await with_reader(None, [], work)


async def committed(command):
    async def work(consumer):
        consumer.assign(partitions(command))
        found = {where.partition: await consumer.committed(where) for where in partitions(command)}
        return {"offsets": {partition: -1 if offset is None else offset for partition, offset in found.items()}}

    return await with_reader(command["group"], [], work)


async def watermarks(command):
    async def work(consumer):
        low = await consumer.beginning_offsets(partitions(command))
        high = await consumer.end_offsets(partitions(command))
        return {"partitions": [{"partition": where.partition, "low": low[where], "high": high[where]}
                               for where in partitions(command)]}

    return await with_reader(None, [], work)


async def offsets_for_times(command):
    async def work(consumer):
        found = await consumer.offsets_for_times({where: command["timestamp"] for where in partitions(command)})
        return {"offsets": {where.partition: -1 if offset is None else offset.offset for where, offset in found.items()}}

    return await with_reader(None, [], work)


serve({name: running(operation) for name, operation in {
    "describe": describe, "create": create, "remove": remove, "produce": produce, "consume": consume, "assign": assign,
    "committed": committed, "watermarks": watermarks, "offsetsForTimes": offsets_for_times}.items()})
