"""Publishes or reads records as lines of JSON over gRPC, from the `.proto` files alone.

usage: grpc_records.py produce ADDRESS TOPIC < LINES
       grpc_records.py consume ADDRESS TOPIC PARTITIONS > LINES

The lines are those of records_confluent.py. A broker that goes away is waited for.
"""

import json
import sys

import grpc
from ottla.v1 import log_pb2, log_pb2_grpc, record_pb2

command, address, topic = sys.argv[1:4]
# A broker that stops says UNAVAILABLE, and a record that was on its way may be there twice then.
again = {"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}
config = json.dumps({"methodConfig": [{"name": [{"service": "ottla.v1.Log", "method": "Publish"}], "retryPolicy": again}]})
log = log_pb2_grpc.LogStub(grpc.insecure_channel(address, options=[("grpc.service_config", config)]))


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
        request = log_pb2.PublishRequest(topic=topic, partition=record["partition"], records=[sent])
        log.Publish(request, timeout=30, wait_for_ready=True)
else:
    nexts = dict.fromkeys(range(int(sys.argv[4])), 0)

    def messages():
        """All up to the end of now, over as many streams as it takes."""
        while True:
            places = [
                log_pb2.FetchPartition(topic=topic, partition=partition, **{"from": record_pb2.Position(offset=offset)})
                for partition, offset in nexts.items()
            ]
            request = log_pb2.FetchRequest(partitions=places, stop_at_end=True)
            try:
                for message in log.Fetch(request, timeout=60, wait_for_ready=True):
                    nexts[message.partition] = message.next_offset
                    yield message
                return
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise

    for message in messages():
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
