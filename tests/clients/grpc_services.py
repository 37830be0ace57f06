"""Every service over gRPC: what they do, and what they say when they cannot.

usage: grpc_services.py ADDRESS
"""

import sys
import threading

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from ottla.v1 import (
    cluster_pb2,
    cluster_pb2_grpc,
    configs_pb2,
    configs_pb2_grpc,
    error_pb2,
    log_pb2,
    log_pb2_grpc,
    record_pb2,
    topics_pb2,
    topics_pb2_grpc,
)

channel = grpc.insecure_channel(sys.argv[1])
log = log_pb2_grpc.LogStub(channel)
topics = topics_pb2_grpc.TopicsStub(channel)
configs = configs_pb2_grpc.ConfigsStub(channel)
cluster = cluster_pb2_grpc.ClusterStub(channel)
Record = record_pb2.Record


def refusal(call):
    """The gRPC code and the detail of a call that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
        detail = error_pb2.ErrorDetail()
        if details is not None:
            assert status_pb2.Status.FromString(details).details[0].Unpack(detail)
        return error.code(), detail
    raise AssertionError("it did not fail")


def fetch(partitions, **options):
    return log.Fetch(log_pb2.FetchRequest(partitions=partitions, **options))


def place(topic, partition=0, **at):
    return log_pb2.FetchPartition(topic=topic, partition=partition, **{"from": record_pb2.Position(**at)} if at else {})


# Reflection and health.
database = ProtoReflectionDescriptorDatabase(channel)
services = {"ottla.v1.Log", "ottla.v1.Topics", "ottla.v1.Configs", "ottla.v1.Groups", "ottla.v1.Cluster"}
assert services <= set(database.get_services())
assert database.FindFileContainingSymbol("ottla.v1.PublishResponse").name == "ottla/v1/log.proto"
health = health_pb2_grpc.HealthStub(channel)
assert health.Check(health_pb2.HealthCheckRequest(service="ottla.v1.Log")).status == 1

# Topics.
created = topics.CreateTopic(topics_pb2.CreateTopicRequest(name="t", partitions=3, configs={"retention.ms": "60000"}))
assert (created.partitions, created.replication_factor) == (3, 1)
code, detail = refusal(lambda: topics.CreateTopic(topics_pb2.CreateTopicRequest(name="t")))
assert (code, detail.kafka_error, detail.kafka_code, detail.topic) == (
    grpc.StatusCode.ALREADY_EXISTS,
    "TOPIC_ALREADY_EXISTS",
    36,
    "t",
)
assert [(t.name, t.partitions) for t in topics.ListTopics(topics_pb2.ListTopicsRequest()).topics] == [("t", 3)]
assert dict(topics.DescribeTopic(topics_pb2.DescribeTopicRequest(name="t")).configs) == {"retention.ms": "60000"}
assert topics.AddPartitions(topics_pb2.AddPartitionsRequest(topic="t", partitions=4)).partitions == 4
code, detail = refusal(lambda: topics.AddPartitions(topics_pb2.AddPartitionsRequest(topic="t", partitions=2)))
assert (code, detail.kafka_error) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PARTITIONS")

# Publish: everything a record has comes back.
sent = [
    Record(key=b"k", value=b"v", timestamp_ms=1_000, headers=[record_pb2.Header(name="h", value=b"1"), record_pb2.Header(name="n")]),
    Record(value=b"no key", timestamp_ms=2_000),
    Record(key=b"tombstone", timestamp_ms=3_000),
    Record(key=b"", value=b"", timestamp_ms=4_000),
]
for compression in range(5):
    answer = log.Publish(log_pb2.PublishRequest(topic="t", partition=0, records=sent, compression=compression))
    assert [(r.partition, r.base_offset, r.last_offset) for r in answer.ranges] == [(0, 4 * compression, 4 * compression + 3)]
read = [r for m in fetch([place("t")], stop_at_end=True) for r in m.records]
for offset, record in enumerate(read):
    assert record.offset == offset
    record.offset = 0
    assert record == sent[offset % 4], (record, sent[offset % 4])
assert len(read) == 20
# Whole batches go through as they are, and small messages hold few records.
batches = b"".join(m.batches for m in fetch([place("t")], stop_at_end=True, format=log_pb2.FETCH_FORMAT_BATCHES))
first = batches[: 12 + int.from_bytes(batches[8:12], "big")]
log.Publish(log_pb2.PublishRequest(topic="copy", partition=0, batches=first))
copied = [r for m in fetch([place("copy")], stop_at_end=True) for r in m.records]
assert [(r.key, r.value, r.timestamp_ms) for r in copied] == [(r.key, r.value, r.timestamp_ms) for r in sent]
assert [len(m.records) for m in fetch([place("t")], stop_at_end=True, max_message_bytes=1)] == [1] * 20
# Records of one key go to one partition, those without one to each in its turn.
answer = log.Publish(log_pb2.PublishRequest(topic="t", records=[Record(key=b"same", value=b"1"), Record(key=b"same", value=b"2")]))
assert len(answer.ranges) == 1 and answer.ranges[0].last_offset == answer.ranges[0].base_offset + 1
turns = {log.Publish(log_pb2.PublishRequest(topic="t", records=[Record(value=b"x")])).ranges[0].partition for _ in range(4)}
assert turns == {0, 1, 2, 3}

# What cannot be published.
for request, expected in [
    (dict(topic="t"), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")),
    (dict(topic="t", batches=b"x"), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")),
    (dict(topic="t", partition=0, batches=b"x" * 100), (grpc.StatusCode.INVALID_ARGUMENT, None)),
    (dict(topic="t", partition=9, records=sent), (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC_OR_PARTITION")),
    (dict(topic="no/name", records=sent), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOPIC_EXCEPTION")),
    (dict(topic="t", records=[Record(value=b"x" * 2_000_000)]), (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")),
    (dict(topic="t", records=[Record(timestamp_ms=-2)]), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TIMESTAMP")),
]:
    code, detail = refusal(lambda: log.Publish(log_pb2.PublishRequest(**request)))
    assert code == expected[0] and expected[1] in (None, detail.kafka_error), (request.keys(), code, detail)

# A stream of publishes: answers in order, and a failure ends nothing.
requests = [
    log_pb2.PublishStreamRequest(id=7, publish=log_pb2.PublishRequest(topic="s", partition=0, records=sent)),
    log_pb2.PublishStreamRequest(id=8, publish=log_pb2.PublishRequest(topic="s", partition=9, records=sent)),
    log_pb2.PublishStreamRequest(id=9, publish=log_pb2.PublishRequest(topic="s", partition=0, records=sent)),
]
answers = list(log.PublishStream(iter(requests)))
assert [(a.id, a.WhichOneof("outcome")) for a in answers] == [(7, "published"), (8, "failure"), (9, "published")]
assert (answers[1].failure.detail.kafka_error, answers[1].failure.detail.partition) == ("UNKNOWN_TOPIC_OR_PARTITION", 9)
assert answers[2].published.ranges[0].base_offset == 4
many = (log_pb2.PublishStreamRequest(id=n, publish=log_pb2.PublishRequest(topic="s", partition=0, records=[Record(value=b"%d" % n)])) for n in range(2_000))
assert [a.id for a in log.PublishStream(many)] == list(range(2_000))
read = [r for m in fetch([place("s", offset=8)], stop_at_end=True) for r in m.records]
assert [int(r.value) for r in read] == list(range(2_000))

# Places.
listed = log.ListOffsets(
    log_pb2.ListOffsetsRequest(
        partitions=[
            place("t", landmark=record_pb2.LANDMARK_EARLIEST),
            place("s", landmark=record_pb2.LANDMARK_LATEST),
            place("t", timestamp_ms=2_500),
            place("t", 9),
        ]
    )
).offsets
assert [(o.offset, o.error.kafka_error) for o in listed] == [(0, ""), (2_008, ""), (2, ""), (0, "UNKNOWN_TOPIC_OR_PARTITION")]

# Reading: what cannot be, and how a stream ends.
code, detail = refusal(lambda: list(fetch([place("s", offset=10_000)])))
assert (code, detail.kafka_error, detail.high_watermark) == (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE", 2_008)
assert refusal(lambda: list(fetch([])))[1].kafka_error == "INVALID_REQUEST"
assert refusal(lambda: list(fetch([place("s"), place("s")])))[1].kafka_error == "INVALID_REQUEST"
assert refusal(lambda: list(fetch([place("nowhere")])))[1].kafka_error == "UNKNOWN_TOPIC_OR_PARTITION"
assert refusal(lambda: list(log.Fetch(log_pb2.FetchRequest(partitions=[place("s", offset=2_008)]), timeout=0.3)))[0] == grpc.StatusCode.DEADLINE_EXCEEDED

# A reader that follows gets what is published later, from each partition, and hears of the topic's end.
topics.CreateTopic(topics_pb2.CreateTopicRequest(name="followed", partitions=2))
following = fetch([place("followed", 0), place("followed", 1)])
publish = threading.Thread(
    target=lambda: [log.Publish(log_pb2.PublishRequest(topic="followed", partition=p, records=[Record(value=b"%d" % p)])) for p in (0, 1)]
)
publish.start()
assert sorted(next(following).records[0].value for _ in range(2)) == [b"0", b"1"]
publish.join()
topics.DeleteTopic(topics_pb2.DeleteTopicRequest(name="followed"))
code, detail = refusal(lambda: list(following))
assert (code, detail.kafka_error, detail.topic) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC_OR_PARTITION", "followed")

# Deleted records.
deleted = topics.DeleteRecords(
    topics_pb2.DeleteRecordsRequest(topic="s", deletions=[topics_pb2.RecordDeletion(partition=0, before_offset=5), topics_pb2.RecordDeletion(partition=9)])
).partitions
assert (deleted[0].log_start_offset, deleted[1].error.kafka_error) == (5, "UNKNOWN_TOPIC_OR_PARTITION")
code, detail = refusal(lambda: list(fetch([place("s", offset=0)])))
assert (detail.kafka_error, detail.log_start_offset) == ("OFFSET_OUT_OF_RANGE", 5)

# Configs.
of = configs_pb2.ConfigResource(topic="t")
configs.AlterConfigs(configs_pb2.AlterConfigsRequest(resource=of, set={"segment.bytes": "2000000"}, remove=["retention.ms"]))
described = {c.name: c for c in configs.DescribeConfigs(configs_pb2.DescribeConfigsRequest(resource=of)).configs}
assert (described["segment.bytes"].value, described["segment.bytes"].source) == ("2000000", configs_pb2.CONFIG_SOURCE_TOPIC)
assert described["retention.ms"].source == configs_pb2.CONFIG_SOURCE_DEFAULT and described["retention.ms"].documentation
code, detail = refusal(lambda: configs.AlterConfigs(configs_pb2.AlterConfigsRequest(resource=of, set={"segment.bytes": "many"})))
assert (code, detail.kafka_error) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CONFIG")

# The cluster.
described = cluster.DescribeCluster(cluster_pb2.DescribeClusterRequest())
assert {e.listener for e in described.brokers[0].endpoints} == {"PLAINTEXT", "API"}
assert described.controller == described.answered_by == described.brokers[0].id
directory = cluster.DescribeLogDirs(cluster_pb2.DescribeLogDirsRequest(topics=["t"]))
assert len(directory.logs) == 4 and directory.total_bytes > directory.free_bytes > 0

# Producers.
first, second = (log.InitProducer(log_pb2.InitProducerRequest()) for _ in range(2))
assert first.producer_id != second.producer_id and first.producer_epoch == 0
print("ok")
