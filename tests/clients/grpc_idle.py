"""Streams that wait: opens many, says so, waits for a line, then publishes and lets each stream take it.

usage: grpc_idle.py ADDRESS CONNECTIONS STREAMS      STREAMS on each connection
"""

import sys

import grpc
from ottla.v1 import log_pb2, log_pb2_grpc, record_pb2

address, connections, streams = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def publish(log, value):
    log.Publish(log_pb2.PublishRequest(topic="idle", partition=0, records=[record_pb2.Record(value=value)]))


# Channels to one address share a connection unless they are told not to.
logs = [
    log_pb2_grpc.LogStub(grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]))
    for _ in range(connections)
]
publish(logs[0], b"first")
request = log_pb2.FetchRequest(partitions=[log_pb2.FetchPartition(topic="idle", partition=0)])
waiting = [log.Fetch(request) for log in logs for _ in range(streams)]
for stream in waiting:
    assert next(stream).records[0].value == b"first"
print("idle", flush=True)
sys.stdin.readline()
publish(logs[0], b"second")
for stream in waiting:
    assert next(stream).records[0].value == b"second"
print("woken", flush=True)
for stream in waiting:
    stream.cancel()
