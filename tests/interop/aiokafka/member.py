"""One member of a consumer group with aiokafka: one line of JSON an event, until SIGTERM.

usage: member.py BOOTSTRAP GROUP TOPIC PROTOCOL NAME      what the events mean is said in tests/src/interop/member.rs
"""

import asyncio
import json
import signal
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

bootstrap, group, topic, protocol, name = sys.argv[1:]
# What was read and is not committed yet, of partitions that are ours: a rebalance may refuse a commit for a while.
pending = {}


def say(event, **rest):
    print(json.dumps({"event": event, **rest}), flush=True)


class Listener(ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned):
        say("assigned", partitions=sorted(p.partition for p in assigned))

    async def on_partitions_revoked(self, revoked):
        for one in revoked:
            pending.pop(one, None)
        say("revoked", partitions=sorted(p.partition for p in revoked))


async def main():
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        # A static member has this long to come back.
        session_timeout_ms=10_000 if protocol == "static" else 4_000,
        heartbeat_interval_ms=500,
        partition_assignment_strategy=[RangePartitionAssignor],
        group_instance_id=name if protocol == "static" else None,
    )
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    while not stopped.is_set():
        for partition, records in (await consumer.getmany(timeout_ms=100, max_records=50)).items():
            for record in records:
                say("record", partition=record.partition, offset=record.offset)
            pending[partition] = records[-1].offset + 1
        if not pending:
            continue
        try:
            # A copy: the listener may run while this waits.
            offsets = dict(pending)
            await consumer.commit(offsets)
            say("committed", offsets={p.partition: o for p, o in offsets.items()})
            pending.clear()
        except KafkaError as error:
            say("retried", error=str(error))
    await consumer.stop()
    say("closed")


asyncio.run(main())
