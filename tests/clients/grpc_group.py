"""A member of a group over gRPC, from the `.proto` files alone: prints what it reads, and commits it.

usage: grpc_group.py ADDRESS GROUP TOPIC [COUNT]

Ends after COUNT records, having committed them; without it, at the end of standard input.
"""

import queue
import sys
import threading

import grpc
from ottla.v1 import groups_pb2, groups_pb2_grpc, record_pb2

address, group, topic, *count = sys.argv[1:]
left = int(count[0]) if count else sys.maxsize
requests = queue.Queue()
start = record_pb2.Position(landmark=record_pb2.LANDMARK_EARLIEST)
join = groups_pb2.JoinGroup(group=group, topics=[topic], start=start, client_id="python")
requests.put(groups_pb2.SubscribeRequest(join=join))
if not count:
    # The end of the requests leaves the group.
    threading.Thread(target=lambda: (sys.stdin.read(), requests.put(None)), daemon=True).start()

groups = groups_pb2_grpc.GroupsStub(grpc.insecure_channel(address))
for answer in groups.Subscribe(iter(requests.get, None)):
    event = answer.WhichOneof("event")
    if event == "assigned":
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
