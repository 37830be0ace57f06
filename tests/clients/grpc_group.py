"""A member of a group over gRPC, from the `.proto` files alone: prints what it reads, and commits it.

usage: grpc_group.py ADDRESS GROUP TOPIC [COUNT]

Ends after COUNT records, having committed them; without it, at the end of standard input. A broker that goes away is waited for: the
group is joined again, and goes on behind what was committed.
"""

import queue
import sys
import threading

import grpc
from ottla.v1 import groups_pb2, groups_pb2_grpc, record_pb2

address, group, topic, *count = sys.argv[1:]
left = int(count[0]) if count else sys.maxsize
start = record_pb2.Position(landmark=record_pb2.LANDMARK_EARLIEST)
join = groups_pb2.JoinGroup(group=group, topics=[topic], start=start, client_id="python")
requests = queue.Queue()
ended = threading.Event()


def end():
    sys.stdin.read()
    ended.set()
    # The end of the requests leaves the group.
    requests.put(None)


if not count:
    threading.Thread(target=end, daemon=True).start()


def answers(requests):
    """One stream's, from its join to its end."""
    requests.put(groups_pb2.SubscribeRequest(join=join))
    return groups.Subscribe(iter(requests.get, None), wait_for_ready=True)


def work():
    global left
    for answer in answers(requests):
        event = answer.WhichOneof("event")
        if event == "joined":
            # Should the stream break off, the next one is the same member.
            join.member_id = answer.joined.member_id
        elif event == "assigned":
            print("assigned", *(p.partition for p in answer.assigned.partitions), flush=True)
        elif event == "revoking":
            print("revoking", *(p.partition for p in answer.revoking.partitions), flush=True)
            requests.put(groups_pb2.SubscribeRequest(release=groups_pb2.ReleasePartitions()))
        elif event == "lost":
            print("lost", *(p.partition for p in answer.lost.partitions), flush=True)
        elif event == "records" and left > 0:
            records = answer.records.records[:left]
            for record in records:
                print(answer.records.partition, record.offset, record.value.decode(), flush=True)
            left -= len(records)
            if records:
                offset = groups_pb2.CommitOffset(
                    topic=topic, partition=answer.records.partition, offset=records[-1].offset + 1
                )
                commit = groups_pb2.CommitOffsets(id=records[-1].offset, offsets=[offset])
                requests.put(groups_pb2.SubscribeRequest(commit=commit))
            if left == 0:
                requests.put(None)
        elif event == "committed":
            for failure in answer.committed.failures:
                print("refused", failure.detail.kafka_error, flush=True)


# The name of a host for HTTP: without it a list of several addresses would be sent as one, which is none.
options = [("grpc.default_authority", "ottla")]
groups = groups_pb2_grpc.GroupsStub(grpc.insecure_channel(address, options=options))
while True:
    try:
        work()
        break
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE or ended.is_set():
            raise
        print("unavailable", error.details(), flush=True)
        # The sender of the old stream ends, and the next one has a queue of its own.
        requests.put(None)
        requests = queue.Queue()
