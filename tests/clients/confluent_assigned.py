"""confluent-kafka (librdkafka) with assigned partitions: produce, read back, seek, look up by time, transactions left out.

usage: confluent_assigned.py BOOTSTRAP TOPIC      the topic has two partitions and is empty
"""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

bootstrap, topic = sys.argv[1:]
COUNT = 300


def deliver(compression, partition, tag, **options):
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": compression, "linger.ms": 5, **options})
    for i in range(COUNT):
        producer.produce(
            topic,
            value=b"%s-%d" % (tag, i),
            key=b"k%d" % i,
            partition=partition,
            headers=[("n", b"%d" % i), ("empty", b""), ("null", None)],
            on_delivery=lambda error, message: failures.append(error) if error else None,
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    assert not failures, failures


def read(consumer, count):
    messages = []
    deadline = time.monotonic() + 30
    while len(messages) < count:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None, message.error()
            messages.append(message)
        assert time.monotonic() < deadline, "%d of %d records" % (len(messages), count)
    return messages


def patiently(ask):
    """What goes to a partition's leader once: librdkafka asks no second time when another has just taken over, and leaves that to its caller."""
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].name() != "NOT_LEADER_FOR_PARTITION":
                raise
            time.sleep(0.1)


kinds = ["none", "gzip", "snappy", "lz4", "zstd"]
for kind in kinds:
    deliver(kind, 0, kind.encode(), **{"enable.idempotence": True})
middle = int(time.time() * 1000) + 1
while time.time() * 1000 <= middle:
    time.sleep(0.001)
deliver("lz4", 1, b"acks-one", acks=1)
deliver("none", 0, b"late", acks="all")

consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False, "enable.partition.eof": False})
consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
expected = [(b"k%d" % i, b"%s-%d" % (kind, i)) for kind in [k.encode() for k in kinds] + [b"late"] for i in range(COUNT)]
messages = read(consumer, len(expected))
assert [(m.key(), m.value()) for m in messages] == expected
assert [m.offset() for m in messages] == list(range(len(expected)))
assert messages[7].headers() == [("n", b"7"), ("empty", b""), ("null", None)], messages[7].headers()

consumer.seek(TopicPartition(topic, 0, 450))
assert [m.offset() for m in read(consumer, 5)] == [450, 451, 452, 453, 454]
assert patiently(lambda: consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)) == (0, len(expected))
times = [TopicPartition(topic, 0, middle), TopicPartition(topic, 1, middle + 3_600_000)]
found = patiently(lambda: consumer.offsets_for_times(times, timeout=10))
assert found[0].offset == COUNT * len(kinds), found
assert found[1].offset == -1, found

# The two partitions together, and a read that waits at the end until a record comes.
consumer.assign([TopicPartition(topic, 0, len(expected)), TopicPartition(topic, 1, 0)])
assert [m.value() for m in read(consumer, COUNT)] == [b"acks-one-%d" % i for i in range(COUNT)]
assert consumer.poll(0.3) is None
deliver("none", 0, b"tail")
assert read(consumer, 1)[0].value() == b"tail-0"
consumer.close()

admin = AdminClient({"bootstrap.servers": bootstrap})
admin.create_topics([NewTopic("made-by-admin", 4, 1, config={"retention.ms": "60000"})])["made-by-admin"].result(30)
resource = ConfigResource(ConfigResource.Type.TOPIC, "made-by-admin")
config = admin.describe_configs([resource])[resource].result(30)
assert config["retention.ms"].value == "60000", config["retention.ms"]
wanted = {TopicPartition(topic, 0): OffsetSpec.latest(), TopicPartition(topic, 1): OffsetSpec.max_timestamp()}
ends = patiently(lambda: {at.partition: future.result(30).offset for at, future in admin.list_offsets(wanted).items()})
assert ends[0] == len(expected) + COUNT and 0 <= ends[1] < COUNT, ends
cluster = admin.describe_cluster().result(30)
# Of several brokers one may be away.
known = bootstrap.count(",") + 1
assert len(cluster.nodes) in (known, max(1, known - 1)) and cluster.cluster_id, cluster
deleted = patiently(lambda: [f.result(30).low_watermark for f in admin.delete_records([TopicPartition(topic, 1, 100)]).values()])
assert deleted == [100]
admin.delete_topics(["made-by-admin"])["made-by-admin"].result(30)
print("ok")
