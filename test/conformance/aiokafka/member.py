"""A group member on aiokafka; see ../README.md."""

import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from worker import argument  # noqa: E402
from member import OPTIONS, Log, leaving  # noqa: E402

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition  # noqa: E402

log = Log()


async def main():
    consumer = AIOKafkaConsumer(
        bootstrap_servers=argument("bootstrap", "127.0.0.1:9092"), group_id=OPTIONS["group"], auto_offset_reset="earliest",
        enable_auto_commit=False, session_timeout_ms=OPTIONS["sessionTimeoutMs"], heartbeat_interval_ms=OPTIONS["heartbeatMs"],
        fetch_max_wait_ms=100, group_instance_id=OPTIONS.get("instanceId"))

    def identity():
        # aiokafka shows neither in public.
        coordinator = consumer._coordinator
        return getattr(coordinator, "generation", None), getattr(coordinator, "member_id", None)

    async def commit():
        positions = log.positions()
        if not positions:
            return
        try:
            await asyncio.wait_for(consumer.commit({TopicPartition(topic, partition): offset for topic, partition, offset in positions}), 10)
            log.committed(positions)
        except Exception as error:
            log.failed("commit", error)

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            await commit()
            log.revoked([(one.topic, one.partition) for one in revoked])

        async def on_partitions_assigned(self, assigned):
            log.assigned([(one.topic, one.partition) for one in assigned], *identity())

    await consumer.start()
    consumer.subscribe(OPTIONS["topics"], listener=Listener())
    while not leaving.is_set():
        try:
            batches = await consumer.getmany(timeout_ms=100)
        except Exception as error:
            log.failed("poll", error)
            await asyncio.sleep(0.1)
            continue
        generation, _ = identity()
        for messages in batches.values():
            for message in messages:
                log.read(message.topic, message.partition, message.offset, generation)
        await commit()
    await consumer.stop()
    log.say("left")


asyncio.run(main())
