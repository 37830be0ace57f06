"""Publishes rising numbers with idempotence until its standard input ends; a line for each acknowledgement.

usage: numbered_producer.py BOOTSTRAP TOPIC NAME PARTITIONS

Number i goes to partition i % PARTITIONS as "NAME-i". Prints "i OFFSET" when it is acknowledged, in the end "sent COUNT".
A broker that goes away is waited for: an error is one only after five minutes.
"""

import os
import sys
import threading

from confluent_kafka import Producer

bootstrap, topic, name, partitions = sys.argv[1:]
stopped = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()


def fatal(error):
    if error.fatal():
        print("fatal", error, file=sys.stderr, flush=True)
        os._exit(1)


def acknowledged(error, message):
    if error:
        print("failed", error, file=sys.stderr, flush=True)
        os._exit(1)
    # None of a record that was there already when it was sent again.
    offset = message.offset()
    print(message.value().decode().split("-")[1], -1 if offset is None else offset, flush=True)


producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "linger.ms": 1,
        "batch.num.messages": 20,
        "message.timeout.ms": 300_000,
        "queue.buffering.max.messages": 1000,
        "reconnect.backoff.ms": 10,
        "reconnect.backoff.max.ms": 100,
        "retry.backoff.ms": 10,
        "retry.backoff.max.ms": 100,
        "log_level": 2,
        "error_cb": fatal,
    }
)
sent = 0
while not stopped.is_set():
    try:
        producer.produce(topic, b"%s-%d" % (name.encode(), sent), partition=sent % int(partitions), on_delivery=acknowledged)
        sent += 1
        producer.poll(0.0005)
    except BufferError:
        producer.poll(0.01)
left = producer.flush(120)
if left:
    sys.exit("%d records were never acknowledged" % left)
print("sent", sent, flush=True)
