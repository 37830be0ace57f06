//! From a frame to a reply: one table says what is served, and everything follows from it.

use std::future::Future;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use ottla_node::metrics::ApiMetrics;
use ottla_node::{ConnectionId, Metrics};
use ottla_wire::frame::{LENGTH_PREFIX, read_request_header, write_response};
use ottla_wire::{ApiKey, Message, Reader, Request, Writer};
use parking_lot::Mutex;

use crate::apis;
use crate::apis::fetch::replica_session::ReplicaSession;
use crate::front::Front;
use crate::outbox::Frame;
use crate::reply::{LateAnswer, Refusal, Reply};
use crate::timing::Stopwatch;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: ConnectionId,
    pub(crate) address: SocketAddr,
    /// It has fetched as a replica.
    pub(crate) is_broker: AtomicBool,
    /// What it fetches as a replica. Taken out while a fetch is in work.
    pub(crate) replica_session: Mutex<Option<ReplicaSession>>,
}

impl Peer {
    pub(crate) fn new(id: ConnectionId, address: SocketAddr) -> Self {
        Self { id, address, is_broker: AtomicBool::new(false), replica_session: Mutex::default() }
    }
}

/// One request, its header read and its body not yet.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) front: Arc<Front>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// What the client calls itself.
    pub(crate) client_id: Option<String>,
    /// No other request of this connection is in work or waiting.
    pub(crate) alone: bool,
    body: Reader,
}

/// One row of the table.
pub(crate) struct Served {
    pub(crate) api: ApiKey,
    handle: fn(Call) -> Result<Reply, Refusal>,
}

/// What this broker serves. ApiVersions answers from this table, so nothing is advertised that is not here.
pub(crate) const SERVED: &[Served] = &[
    Served { api: ApiKey::Produce, handle: apis::produce::handle },
    Served { api: ApiKey::Fetch, handle: apis::fetch::handle },
    Served { api: ApiKey::ListOffsets, handle: |call| call.later(apis::list_offsets::list_offsets) },
    Served { api: ApiKey::Metadata, handle: |call| call.later(apis::metadata::metadata) },
    Served { api: ApiKey::OffsetCommit, handle: |call| call.later(apis::group_offsets::offset_commit) },
    Served { api: ApiKey::OffsetFetch, handle: |call| call.later(apis::group_offsets::offset_fetch) },
    Served {
        api: ApiKey::FindCoordinator,
        handle: |call| call.later(apis::find_coordinator::find_coordinator),
    },
    Served { api: ApiKey::JoinGroup, handle: |call| call.long_poll(apis::group_membership::join_group) },
    Served { api: ApiKey::Heartbeat, handle: |call| call.later(apis::group_membership::heartbeat) },
    Served { api: ApiKey::LeaveGroup, handle: |call| call.later(apis::group_membership::leave_group) },
    Served { api: ApiKey::SyncGroup, handle: |call| call.long_poll(apis::group_membership::sync_group) },
    Served { api: ApiKey::DescribeGroups, handle: |call| call.later(apis::group_admin::describe_groups) },
    Served { api: ApiKey::ListGroups, handle: |call| call.later(apis::group_admin::list_groups) },
    Served { api: ApiKey::ApiVersions, handle: |call| call.now(apis::api_versions::api_versions) },
    Served { api: ApiKey::CreateTopics, handle: |call| call.later(apis::create_topics::create_topics) },
    Served { api: ApiKey::DeleteTopics, handle: |call| call.later(apis::delete_topics::delete_topics) },
    Served { api: ApiKey::DeleteRecords, handle: |call| call.later(apis::delete_records::delete_records) },
    Served {
        api: ApiKey::InitProducerId,
        handle: |call| call.later(apis::init_producer_id::init_producer_id),
    },
    Served {
        api: ApiKey::OffsetForLeaderEpoch,
        handle: |call| call.later(apis::offset_for_leader_epoch::offset_for_leader_epoch),
    },
    Served {
        api: ApiKey::DescribeConfigs,
        handle: |call| call.now(apis::describe_configs::describe_configs),
    },
    Served { api: ApiKey::AlterConfigs, handle: |call| call.later(apis::alter_configs::alter_configs) },
    Served {
        api: ApiKey::DescribeLogDirs,
        handle: |call| call.later(apis::describe_log_dirs::describe_log_dirs),
    },
    Served {
        api: ApiKey::CreatePartitions,
        handle: |call| call.later(apis::create_partitions::create_partitions),
    },
    Served { api: ApiKey::DeleteGroups, handle: |call| call.later(apis::group_admin::delete_groups) },
    Served {
        api: ApiKey::AlterPartitionReassignments,
        handle: |call| call.later(apis::partition_reassignments::alter_partition_reassignments),
    },
    Served {
        api: ApiKey::ListPartitionReassignments,
        handle: |call| call.now(apis::partition_reassignments::list_partition_reassignments),
    },
    Served { api: ApiKey::OffsetDelete, handle: |call| call.later(apis::group_offsets::offset_delete) },
    Served { api: ApiKey::ElectLeaders, handle: |call| call.later(apis::elect_leaders::elect_leaders) },
    Served {
        api: ApiKey::IncrementalAlterConfigs,
        handle: |call| call.later(apis::alter_configs::incremental_alter_configs),
    },
    Served { api: ApiKey::DescribeQuorum, handle: |call| call.later(apis::describe_quorum::describe_quorum) },
    Served {
        api: ApiKey::DescribeCluster,
        handle: |call| call.now(apis::describe_cluster::describe_cluster),
    },
    Served {
        api: ApiKey::UnregisterBroker,
        handle: |call| call.later(apis::unregister_broker::unregister_broker),
    },
    Served {
        api: ApiKey::ConsumerGroupHeartbeat,
        handle: |call| call.later(apis::consumer_group::consumer_group_heartbeat),
    },
    Served {
        api: ApiKey::ConsumerGroupDescribe,
        handle: |call| call.later(apis::consumer_group::consumer_group_describe),
    },
    Served {
        api: ApiKey::ListConfigResources,
        handle: |call| call.now(apis::list_config_resources::list_config_resources),
    },
    Served {
        api: ApiKey::DescribeTopicPartitions,
        handle: |call| call.now(apis::describe_topic_partitions::describe_topic_partitions),
    },
    Served { api: ApiKey::AddRaftVoter, handle: |call| call.later(apis::raft_voters::add_raft_voter) },
    Served { api: ApiKey::RemoveRaftVoter, handle: |call| call.later(apis::raft_voters::remove_raft_voter) },
];

/// The versions of a served API that clients are told of.
pub(crate) fn advertised() -> impl Iterator<Item = (ApiKey, RangeInclusive<i16>)> {
    SERVED.iter().map(|served| (served.api, served.api.advertised_versions()))
}

/// What is counted of each API, in the order of the table.
pub(crate) fn metrics(metrics: &Metrics) -> Vec<Arc<ApiMetrics>> {
    SERVED.iter().map(|served| metrics.api("kafka", served.api.name(), &served.api.versions())).collect()
}

/// True if a request may be started while earlier ones of its connection are in work. Only Produce: it changes nothing that
/// another Produce reads, and its order in each partition is the order of starting.
pub(crate) fn may_overlap(frame: &Bytes) -> bool {
    frame.first_chunk::<2>().is_some_and(|key| i16::from_be_bytes(*key) == ApiKey::Produce.code())
}

/// A request that is not answered.
pub(crate) struct InWork {
    pub(crate) reply: Reply,
    pub(crate) watch: Stopwatch,
    /// Length of its frame.
    pub(crate) bytes: usize,
}

/// Reads the header and hands the request to its API. `received` is when its last byte came.
pub(crate) fn start(
    front: &Arc<Front>,
    peer: &Arc<Peer>,
    frame: Bytes,
    alone: bool,
    received: Instant,
) -> Result<InWork, Refusal> {
    let started = Instant::now();
    let bytes = LENGTH_PREFIX + frame.len();
    let mut body = Reader::new(frame);
    let (header, api) = read_request_header(&mut body)?;
    let version = header.request_api_version;
    let call = Call {
        front: Arc::clone(front),
        peer: Arc::clone(peer),
        api,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        alone,
        body,
    };
    let Some((at, served)) = SERVED.iter().enumerate().find(|(_, served)| served.api == api) else {
        return Err(Refusal::Unsupported { key: api.code(), version });
    };
    if let Some(metrics) = front.apis.get(at) {
        metrics.started(version, bytes);
    }
    let mut watch = Stopwatch::start(at, received, started);
    let reply = if api.versions().contains(&version) {
        (served.handle)(call)?
    } else if api == ApiKey::ApiVersions {
        // The one request that a client may send without knowing what is served (KIP-511).
        apis::api_versions::unsupported_version(&call)?
    } else {
        return Err(Refusal::Unsupported { key: api.code(), version });
    };
    if matches!(reply, Reply::Produce(_)) {
        // Its work is done here; of the others, when they are first asked for their answer.
        watch.put_off();
    }
    Ok(InWork { reply, watch, bytes })
}

impl Call {
    /// Reads the body.
    pub(crate) fn decode<R: Request>(&mut self) -> Result<R, Refusal> {
        Ok(R::decode(&mut self.body, self.version)?)
    }

    /// Writes an answer without file ranges.
    pub(crate) fn answer<M: Message>(&self, response: &M) -> Result<Frame, Refusal> {
        self.answer_at(self.version, response)
    }

    /// Writes an answer at another version than the request's.
    pub(crate) fn answer_at<M: Message>(&self, version: i16, response: &M) -> Result<Frame, Refusal> {
        let mut message = Writer::new();
        write_response(&mut message, self.api, version, self.correlation_id, response)
            .map_err(Refusal::Unencodable)?;
        Ok(Frame { message, ranges: Vec::new() })
    }

    /// Serves an API that has its answer at once.
    pub(crate) fn now<R: Request>(
        mut self,
        serve: impl FnOnce(&Self, R) -> R::Response,
    ) -> Result<Reply, Refusal> {
        let request = self.decode::<R>()?;
        let response = serve(&self, request);
        Ok(Reply::Ready(self.answer(&response)?))
    }

    /// Serves an API that takes time.
    pub(crate) fn later<R, F>(
        self,
        serve: impl FnOnce(Arc<Self>, R) -> F + Send + 'static,
    ) -> Result<Reply, Refusal>
    where
        R: Request + Send + 'static,
        R::Response: Send,
        F: Future<Output = R::Response> + Send,
    {
        Ok(Reply::Later(self.answer_later(serve)?))
    }

    /// Serves an API that waits for others, as long as they take: given up when the broker stops.
    pub(crate) fn long_poll<R, F>(
        self,
        serve: impl FnOnce(Arc<Self>, R) -> F + Send + 'static,
    ) -> Result<Reply, Refusal>
    where
        R: Request + Send + 'static,
        R::Response: Send,
        F: Future<Output = R::Response> + Send,
    {
        Ok(Reply::LongPoll(self.answer_later(serve)?))
    }

    fn answer_later<R, F>(
        mut self,
        serve: impl FnOnce(Arc<Self>, R) -> F + Send + 'static,
    ) -> Result<LateAnswer, Refusal>
    where
        R: Request + Send + 'static,
        R::Response: Send,
        F: Future<Output = R::Response> + Send,
    {
        let request = self.decode::<R>()?;
        let call = Arc::new(self);
        Ok(Box::pin(async move {
            let response = serve(Arc::clone(&call), request).await;
            call.answer(&response)
        }))
    }
}
