"""One member of a consumer group with kafka-python: one line of JSON an event, until SIGTERM.

usage: member.py BOOTSTRAP GROUP TOPIC PROTOCOL NAME      what the events mean is said in tests/src/interop/member.rs
"""

import json
import signal
import sys

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

bootstrap, group, topic, protocol, name = sys.argv[1:]
running = True
# What was read and is not committed yet, of partitions that are ours: a rebalance may refuse a commit for a while.
pending = {}


def stop(*_):
    global running
    running = False


def say(event, **rest):
    print(json.dumps({"event": event, **rest}), flush=True)


class Listener(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        say("assigned", partitions=sorted(p.partition for p in assigned))

    def on_partitions_revoked(self, revoked):
        for one in revoked:
            pending.pop(one, None)
        say("revoked", partitions=sorted(p.partition for p in revoked))


signal.signal(signal.SIGTERM, stop)
consumer = KafkaConsumer(
    bootstrap_servers=bootstrap,
    group_id=group,
    client_id=name,
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    # A static member has this long to come back.
    session_timeout_ms=10_000 if protocol == "static" else 4_000,
    heartbeat_interval_ms=500,
    partition_assignment_strategy=[CooperativeStickyAssignor if protocol == "cooperative" else RangePartitionAssignor],
    group_instance_id=name if protocol == "static" else None,
)
consumer.subscribe([topic], listener=Listener())
while running:
    for partition, records in consumer.poll(timeout_ms=100, max_records=50).items():
        for record in records:
            say("record", partition=record.partition, offset=record.offset)
        pending[partition] = OffsetAndMetadata(records[-1].offset + 1, "", -1)
    if not pending:
        continue
    try:
        consumer.commit(pending)
        say("committed", offsets={p.partition: o.offset for p, o in pending.items()})
        pending.clear()
    except KafkaError as error:
        say("retried", error=str(error))
consumer.close()
say("closed")
