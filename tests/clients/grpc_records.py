"""Publishes or reads records as lines of JSON over gRPC, from the `.proto` files alone.

usage: grpc_records.py produce ADDRESS TOPIC < LINES
       grpc_records.py consume ADDRESS TOPIC PARTITIONS > LINES

The lines are those of records_confluent.py.
"""

import json
import sys

import grpc
from ottla.v1 import log_pb2, log_pb2_grpc, record_pb2

command, address, topic = sys.argv[1:4]
log = log_pb2_grpc.LogStub(grpc.insecure_channel(address))


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def hexed(message, field):
    return getattr(message, field).hex() if message.HasField(field) else None


if command == "produce":
    for line in sys.stdin:
        record = json.loads(line)
        headers = [record_pb2.Header(name=name, value=unhex(value)) for name, value in record["headers"]]
        sent = record_pb2.Record(
            key=unhex(record["key"]),
            value=unhex(record["value"]),
            headers=headers,
            timestamp_ms=record["timestamp"],
        )
        log.Publish(log_pb2.PublishRequest(topic=topic, partition=record["partition"], records=[sent]), timeout=30)
else:
    places = [log_pb2.FetchPartition(topic=topic, partition=partition) for partition in range(int(sys.argv[4]))]
    for message in log.Fetch(log_pb2.FetchRequest(partitions=places, stop_at_end=True), timeout=60):
        for record in message.records:
            print(
                json.dumps(
                    {
                        "partition": message.partition,
                        "offset": record.offset,
                        "key": hexed(record, "key"),
                        "value": hexed(record, "value"),
                        "headers": [[header.name, hexed(header, "value")] for header in record.headers],
                        "timestamp": record.timestamp_ms if record.HasField("timestamp_ms") else None,
                    }
                )
            )
