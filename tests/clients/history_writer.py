"""Publishes rising numbers with idempotence, at a steady rate, until its standard input ends; says what became of each.

usage: history_writer.py BOOTSTRAP TOPIC NAME PARTITIONS PER_SECOND

Number i goes to partition i % PARTITIONS as "NAME-i". Prints "acked i PARTITION OFFSET" (OFFSET below 0: unknown) or
"unknown i PARTITION REASON", in the end "sent COUNT". Brokers that go away are waited for: a record is given up after two minutes.
"""

import os
import sys
import threading
import time

from confluent_kafka import Producer

bootstrap, topic, name, partitions, per_second = sys.argv[1:]
stopped = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()


def fatal(error):
    if error.fatal():
        print("fatal", error, file=sys.stderr, flush=True)
        os._exit(1)


def told(error, message):
    number = message.value().decode().rsplit("-", 1)[1]
    if error:
        print("unknown", number, message.partition(), error, flush=True)
    else:
        # None of a record that was there already when it was sent again.
        offset = message.offset()
        print("acked", number, message.partition(), -1 if offset is None else offset, flush=True)


# What librdkafka says of itself, on standard error: "eos,msg", for instance.
debug = os.environ.get("OTTLA_WRITER_DEBUG")
producer = Producer(
    ({"debug": debug} if debug else {}) | {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "linger.ms": 1,
        "message.timeout.ms": 120_000,
        # A host that has fallen silent closes no connection: the client has to give up its requests.
        "socket.timeout.ms": 1_000,
        "socket.connection.setup.timeout.ms": 1_000,
        "topic.metadata.refresh.interval.ms": 1_000,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 100,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 50,
        "log_level": 7 if debug else 2,
        "error_cb": fatal,
    }
)
sent = 0
start = time.monotonic()
while not stopped.is_set():
    due = start + sent / float(per_second)
    producer.poll(max(0.0, min(due - time.monotonic(), 0.05)))
    if time.monotonic() < due:
        continue
    try:
        value = b"%s-%d" % (name.encode(), sent)
        producer.produce(topic, value, partition=sent % int(partitions), on_delivery=told)
        sent += 1
    except BufferError:
        producer.poll(0.01)
left = producer.flush(130)
if left:
    sys.exit("%d records are still on their way" % left)
print("sent", sent, flush=True)
