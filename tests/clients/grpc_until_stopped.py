"""Follows a topic and keeps a stream of publishes open until the broker ends both, and prints how.

usage: grpc_until_stopped.py ADDRESS
"""

import queue
import sys

import grpc
from ottla.v1 import log_pb2, log_pb2_grpc, record_pb2

log = log_pb2_grpc.LogStub(grpc.insecure_channel(sys.argv[1]))
publish = log_pb2.PublishRequest(topic="t", partition=0, records=[record_pb2.Record(value=b"v")])
requests = queue.Queue()
requests.put(log_pb2.PublishStreamRequest(id=1, publish=publish))
publishing = log.PublishStream(iter(requests.get, None))
assert next(publishing).published.ranges
following = log.Fetch(log_pb2.FetchRequest(partitions=[log_pb2.FetchPartition(topic="t", partition=0)]))
assert next(following).records[0].value == b"v"
print("following", flush=True)
for stream in following, publishing:
    try:
        next(stream)
        print("no end")
    except grpc.RpcError as error:
        print(error.code(), error.details(), flush=True)
