//! What ApiVersions lists works: every version of every API listed gets an answer that parses.

use std::io::Write as _;

use bytes::Bytes;
use it::broker::Broker;
use it::raw::Connection;
use ottla_wire::messages::*;
use ottla_wire::{ApiKey, Message, Reader, Request, Writer, frame};

/// Sends a request at a version, and decodes the answer with nothing left over.
type Exchange = fn(&mut Connection, i16) -> anyhow::Result<()>;

fn exchange<R: Request + Default>(connection: &mut Connection, version: i16) -> anyhow::Result<()>
where
    R::Response: Message,
{
    exchange_of(&R::default(), connection, version)
}

fn exchange_of<R: Request>(request: &R, connection: &mut Connection, version: i16) -> anyhow::Result<()>
where
    R::Response: Message,
{
    let mut writer = Writer::new();
    frame::write_request(&mut writer, 77, Some("it"), request, version)?;
    connection.stream.write_all(&writer.into_parts().0)?;
    let answer = connection.receive()?;
    let mut reader = Reader::new(Bytes::from(answer));
    let correlation = frame::read_response_header(&mut reader, R::API, version)?;
    anyhow::ensure!(correlation == 77, "answers request {correlation}");
    R::Response::decode(&mut reader, version)?;
    anyhow::ensure!(reader.remaining() == 0, "{} bytes too many", reader.remaining());
    Ok(())
}

/// How to ask an API with a request of default values; `None` when this test does not know the API yet.
fn exchange_with(api: ApiKey) -> Option<Exchange> {
    macro_rules! exchanges {
        ($($name:ident $request:ident,)*) => {
            match api {
                // With the default of acks=0 there would be no answer.
                ApiKey::Produce => Some(|connection, version| {
                    exchange_of(&ProduceRequest { acks: -1, timeout_ms: 1000, ..Default::default() }, connection, version)
                }),
                // Kafka never answers one without transactions.
                ApiKey::AddPartitionsToTxn => Some(|connection, version| {
                    let (one, none) = (vec![add_partitions_to_txn_request::AddPartitionsToTxnTransaction::default()], Vec::new());
                    let transactions = if version >= 4 { one } else { none };
                    exchange_of(&AddPartitionsToTxnRequest { transactions, ..Default::default() }, connection, version)
                }),
                // Kafka closes the connection over the kind 0, "unknown"; 1 is "any" and 3 "literal".
                ApiKey::DescribeAcls => Some(|connection, version| {
                    let any = DescribeAclsRequest { resource_type_filter: 1, operation: 1, permission_type: 1, ..Default::default() };
                    exchange_of(&DescribeAclsRequest { pattern_type_filter: 3, ..any }, connection, version)
                }),
                $(ApiKey::$name => Some(exchange::<$request>),)*
                #[allow(unreachable_patterns, reason = "an API of a later Kafka")]
                _ => None,
            }
        };
    }
    exchanges! {
        Fetch FetchRequest,
        ListOffsets ListOffsetsRequest,
        Metadata MetadataRequest,
        OffsetCommit OffsetCommitRequest,
        OffsetFetch OffsetFetchRequest,
        FindCoordinator FindCoordinatorRequest,
        JoinGroup JoinGroupRequest,
        Heartbeat HeartbeatRequest,
        LeaveGroup LeaveGroupRequest,
        SyncGroup SyncGroupRequest,
        DescribeGroups DescribeGroupsRequest,
        ListGroups ListGroupsRequest,
        SaslHandshake SaslHandshakeRequest,
        ApiVersions ApiVersionsRequest,
        CreateTopics CreateTopicsRequest,
        DeleteTopics DeleteTopicsRequest,
        DeleteRecords DeleteRecordsRequest,
        InitProducerId InitProducerIdRequest,
        OffsetForLeaderEpoch OffsetForLeaderEpochRequest,
        AddOffsetsToTxn AddOffsetsToTxnRequest,
        EndTxn EndTxnRequest,
        WriteTxnMarkers WriteTxnMarkersRequest,
        TxnOffsetCommit TxnOffsetCommitRequest,
        CreateAcls CreateAclsRequest,
        DeleteAcls DeleteAclsRequest,
        DescribeConfigs DescribeConfigsRequest,
        AlterConfigs AlterConfigsRequest,
        AlterReplicaLogDirs AlterReplicaLogDirsRequest,
        DescribeLogDirs DescribeLogDirsRequest,
        SaslAuthenticate SaslAuthenticateRequest,
        CreatePartitions CreatePartitionsRequest,
        CreateDelegationToken CreateDelegationTokenRequest,
        RenewDelegationToken RenewDelegationTokenRequest,
        ExpireDelegationToken ExpireDelegationTokenRequest,
        DescribeDelegationToken DescribeDelegationTokenRequest,
        DeleteGroups DeleteGroupsRequest,
        ElectLeaders ElectLeadersRequest,
        IncrementalAlterConfigs IncrementalAlterConfigsRequest,
        AlterPartitionReassignments AlterPartitionReassignmentsRequest,
        ListPartitionReassignments ListPartitionReassignmentsRequest,
        OffsetDelete OffsetDeleteRequest,
        DescribeClientQuotas DescribeClientQuotasRequest,
        AlterClientQuotas AlterClientQuotasRequest,
        DescribeUserScramCredentials DescribeUserScramCredentialsRequest,
        AlterUserScramCredentials AlterUserScramCredentialsRequest,
        DescribeQuorum DescribeQuorumRequest,
        UpdateFeatures UpdateFeaturesRequest,
        DescribeCluster DescribeClusterRequest,
        DescribeProducers DescribeProducersRequest,
        UnregisterBroker UnregisterBrokerRequest,
        DescribeTransactions DescribeTransactionsRequest,
        ListTransactions ListTransactionsRequest,
        ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest,
        ConsumerGroupDescribe ConsumerGroupDescribeRequest,
        GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest,
        PushTelemetry PushTelemetryRequest,
        ListConfigResources ListConfigResourcesRequest,
        DescribeTopicPartitions DescribeTopicPartitionsRequest,
        ShareGroupHeartbeat ShareGroupHeartbeatRequest,
        ShareGroupDescribe ShareGroupDescribeRequest,
        ShareFetch ShareFetchRequest,
        ShareAcknowledge ShareAcknowledgeRequest,
        AddRaftVoter AddRaftVoterRequest,
        RemoveRaftVoter RemoveRaftVoterRequest,
        InitializeShareGroupState InitializeShareGroupStateRequest,
        ReadShareGroupState ReadShareGroupStateRequest,
        WriteShareGroupState WriteShareGroupStateRequest,
        DeleteShareGroupState DeleteShareGroupStateRequest,
        ReadShareGroupStateSummary ReadShareGroupStateSummaryRequest,
        StreamsGroupHeartbeat StreamsGroupHeartbeatRequest,
        StreamsGroupDescribe StreamsGroupDescribeRequest,
        DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest,
        AlterShareGroupOffsets AlterShareGroupOffsetsRequest,
        DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest,
    }
}

#[test]
fn every_version_of_every_listed_api_is_answered() {
    let mut broker = Broker::start();
    // openraft's word for a caller that did not wait: the default timeout of these requests is no time at all.
    broker.expect_log("openraft::raft::responder");
    let listed = broker.connect().api_versions().unwrap();
    assert!(listed.len() >= 18, "a broker lists its APIs: {listed:?}");
    let mut failures = Vec::new();
    for (code, first, last) in listed {
        let Some(api) = ApiKey::from_code(code) else {
            failures.push(format!("lists api {code}, which brokers do not have"));
            continue;
        };
        let exchange = exchange_with(api).unwrap_or_else(|| panic!("this test cannot ask {api}"));
        // Produce is listed from 0 for librdkafka's sake and served from 3 (KAFKA-18659).
        let served = if api == ApiKey::Produce { 3 } else { first };
        if first > last || !api.versions().contains(&served) || last > *api.versions().end() {
            failures.push(format!("{api} is listed from {first} to {last}"));
        }
        for version in served..=last {
            if let Err(error) = exchange(&mut broker.connect(), version) {
                failures.push(format!("{api} {version}: {error:#}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
