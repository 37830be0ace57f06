"""kafka-python with assigned partitions: produce, read back, seek, look up by time.

usage: kafka_python_assigned.py BOOTSTRAP TOPIC      the topic has two partitions and is empty
"""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

bootstrap, topic = sys.argv[1:]
COUNT = 200

for compression, partition in ((None, 0), ("gzip", 1)):
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=compression, acks="all", linger_ms=5)
    sent = [
        producer.send(topic, value=b"v%d" % i, key=b"k%d" % i, headers=[("h", b"%d" % i)], partition=partition)
        for i in range(COUNT)
    ]
    assert [future.get(30).offset for future in sent] == list(range(COUNT))
    producer.close()

consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
consumer.assign(both)
consumer.seek_to_beginning(*both)
seen = {0: [], 1: []}
deadline = time.monotonic() + 30
while sum(map(len, seen.values())) < 2 * COUNT:
    for records in consumer.poll(timeout_ms=200).values():
        for record in records:
            seen[record.partition].append((record.offset, record.key, record.value, list(record.headers)))
    assert time.monotonic() < deadline, {p: len(records) for p, records in seen.items()}
for records in seen.values():
    assert records == [(i, b"k%d" % i, b"v%d" % i, [("h", b"%d" % i)]) for i in range(COUNT)]

consumer.seek(both[0], 150)
record = None
while record is None:
    record = next((records[0] for partition, records in consumer.poll(timeout_ms=200).items() if partition == both[0]), None)
    assert time.monotonic() < deadline
assert record.offset == 150, record
assert consumer.beginning_offsets(both) == {both[0]: 0, both[1]: 0}
assert consumer.end_offsets(both) == {both[0]: COUNT, both[1]: COUNT}
assert consumer.offsets_for_times({both[1]: 0})[both[1]].offset == 0
consumer.close()

admin = KafkaAdminClient(bootstrap_servers=bootstrap)
admin.create_topics([NewTopic("made-by-kafka-python", 2, 1)])
assert "made-by-kafka-python" in admin.list_topics()
admin.delete_topics(["made-by-kafka-python"])
admin.close()
print("ok")
