"""Publishes and reads over gRPC, from the `.proto` files alone.

usage: grpc_hello.py ADDRESS TOPIC
"""

import sys

import grpc
from ottla.v1 import log_pb2, log_pb2_grpc, record_pb2

address, topic = sys.argv[1:]
log = log_pb2_grpc.LogStub(grpc.insecure_channel(address))
records = [record_pb2.Record(key=b"key", value=b"hello %d" % n) for n in range(3)]
published = log.Publish(log_pb2.PublishRequest(topic=topic, records=records))
where = log_pb2.FetchPartition(topic=topic, partition=published.ranges[0].partition)
for message in log.Fetch(log_pb2.FetchRequest(partitions=[where], stop_at_end=True)):
    for record in message.records:
        print(message.partition, record.offset, record.key.decode(), record.value.decode())
