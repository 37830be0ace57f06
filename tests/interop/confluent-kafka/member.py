"""One member of a consumer group with confluent-kafka (librdkafka): one line of JSON an event, until SIGTERM.

usage: member.py BOOTSTRAP GROUP TOPIC PROTOCOL NAME      what the events mean is said in tests/src/interop/member.rs
"""

import json
import signal
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition

bootstrap, group, topic, protocol, name = sys.argv[1:]
running = True
# What was read and is not committed yet, of partitions that are ours: a rebalance may refuse a commit for a while.
pending = {}


def stop(*_):
    global running
    running = False


def say(event, **rest):
    print(json.dumps({"event": event, **rest}), flush=True)


def assigned(_, partitions):
    say("assigned", partitions=sorted(p.partition for p in partitions))


def revoked(_, partitions):
    for one in partitions:
        pending.pop(one.partition, None)
    say("revoked", partitions=sorted(p.partition for p in partitions))


signal.signal(signal.SIGTERM, stop)
config = {
    "bootstrap.servers": bootstrap,
    "group.id": group,
    "client.id": name,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
}
if protocol == "consumer":
    # Timeouts and the assignor are the broker's in this protocol.
    config["group.protocol"] = "consumer"
else:
    # A static member has this long to come back.
    config["session.timeout.ms"] = 10_000 if protocol == "static" else 4_000
    config["heartbeat.interval.ms"] = 500
    config["partition.assignment.strategy"] = "cooperative-sticky" if protocol == "cooperative" else "range"
if protocol == "static":
    config["group.instance.id"] = name

consumer = Consumer(config)
consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
while running:
    for message in consumer.consume(50, 0.1):
        if message.error():
            say("failed", error=str(message.error()))
            continue
        say("record", partition=message.partition(), offset=message.offset())
        pending[message.partition()] = message.offset() + 1
    if not pending:
        continue
    try:
        outcome = consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in pending.items()], asynchronous=False)
        done = {p.partition: p.offset for p in outcome if p.error is None}
        if done:
            say("committed", offsets=done)
        if len(done) < len(pending):
            say("retried", error=str([p.error for p in outcome if p.error is not None]))
        pending = {p: o for p, o in pending.items() if p not in done}
    except KafkaException as error:
        say("retried", error=str(error))
consumer.close()
say("closed")
