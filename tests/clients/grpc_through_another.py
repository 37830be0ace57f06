"""Publishes numbers and reads them through one broker, whatever becomes of those that lead, until standard input ends.

usage: grpc_through_another.py ADDRESS TOPIC      the topic has one partition and is empty

What happens, a line each:
  acked VALUE OFFSET        p-0, p-1, … by a Publish each, s-0, s-1, … by one PublishStream
  again VALUE ERROR         it broke off or was refused, is worth another try, and gets it: it may be there twice
  read OFFSET VALUE         by one Fetch
  ended CALL CODE ERROR     a stream ended that should have lasted
"""

import queue
import sys
import threading
import time

import grpc
from google.rpc import status_pb2
from ottla.v1 import error_pb2, log_pb2, log_pb2_grpc, record_pb2

address, topic = sys.argv[1:]
log = log_pb2_grpc.LogStub(grpc.insecure_channel(address))
stopped = threading.Event()
lines = threading.Lock()


def say(*words):
    with lines:
        print(*words, flush=True)


def detail_of(error):
    """What the broker says of an error beside its code."""
    detail = error_pb2.ErrorDetail()
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if packed is not None:
        assert status_pb2.Status.FromString(packed).details[0].Unpack(detail)
    return detail


def request(value):
    return log_pb2.PublishRequest(topic=topic, partition=0, records=[record_pb2.Record(value=value.encode())])


def values(name):
    number = 0
    while not stopped.is_set():
        yield "%s-%d" % (name, number)
        number += 1
        time.sleep(0.01)


def publish():
    for value in values("p"):
        while True:
            try:
                say("acked", value, log.Publish(request(value), timeout=30).ranges[0].base_offset)
                break
            except grpc.RpcError as error:
                detail = detail_of(error)
                assert detail.retriable, error
                say("again", value, detail.kafka_error)
                time.sleep(0.02)


def stream():
    requests = queue.Queue()
    answers = log.PublishStream(iter(requests.get, None))
    number = 0
    try:
        for value in values("s"):
            while True:
                number += 1
                requests.put(log_pb2.PublishStreamRequest(id=number, publish=request(value)))
                answer = next(answers)
                assert answer.id == number, answer
                if answer.WhichOneof("outcome") == "published":
                    say("acked", value, answer.published.ranges[0].base_offset)
                    break
                assert answer.failure.detail.retriable, answer
                say("again", value, answer.failure.detail.kafka_error)
                time.sleep(0.02)
        requests.put(None)
        assert next(answers, None) is None
    except grpc.RpcError as error:
        say("ended", "PublishStream", error.code(), detail_of(error).kafka_error)


def read():
    place = log_pb2.FetchPartition(topic=topic, partition=0)
    try:
        for message in log.Fetch(log_pb2.FetchRequest(partitions=[place])):
            for record in message.records:
                say("read", record.offset, record.value.decode())
    except grpc.RpcError as error:
        say("ended", "Fetch", error.code(), detail_of(error).kafka_error)


threading.Thread(target=read, daemon=True).start()
publishing = [threading.Thread(target=publish), threading.Thread(target=stream)]
for thread in publishing:
    thread.start()
sys.stdin.read()
stopped.set()
for thread in publishing:
    thread.join()
say("stopped")
# The reader still has something to come; whoever started this waits for it.
time.sleep(60)
