"""Publishes or reads records as lines of JSON with confluent-kafka (librdkafka).

usage: records_confluent.py produce BOOTSTRAP TOPIC < LINES
       records_confluent.py consume BOOTSTRAP TOPIC PARTITIONS > LINES

A line has partition (or null), key, value (hexadecimal or null), headers (pairs of name and hexadecimal or null),
timestamp; what is read has an offset too.
"""

import json
import sys

from confluent_kafka import Consumer, Producer, TopicPartition

command, bootstrap, topic = sys.argv[1:4]


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def hexed(data):
    return None if data is None else data.hex()


if command == "produce":
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True})
    for line in sys.stdin:
        record = json.loads(line)
        options = {} if record["partition"] is None else {"partition": record["partition"]}
        producer.produce(
            topic,
            key=unhex(record["key"]),
            value=unhex(record["value"]),
            headers=[(name, unhex(value)) for name, value in record["headers"]],
            timestamp=record["timestamp"],
            on_delivery=lambda error, message: failures.append(error) if error else None,
            **options,
        )
        producer.poll(0)
    assert producer.flush(60) == 0
    assert not failures, failures
else:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": False})
    for partition in range(int(sys.argv[4])):
        place = TopicPartition(topic, partition, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.assign([place])
        position = 0
        while position < end:
            message = consumer.poll(30)
            assert message is not None and message.error() is None, message and message.error()
            position = message.offset() + 1
            print(
                json.dumps(
                    {
                        "partition": partition,
                        "offset": message.offset(),
                        "key": hexed(message.key()),
                        "value": hexed(message.value()),
                        "headers": [[name, hexed(value)] for name, value in message.headers() or []],
                        "timestamp": message.timestamp()[1],
                    }
                )
            )
    consumer.close()
