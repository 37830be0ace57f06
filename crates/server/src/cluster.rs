//! The service `Cluster`: its brokers, and the disk of this one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_node::coordination::metadata::{Broker, Endpoint, Image};
use ottla_node::record::BrokerId;
use ottla_rpc::v1;
use ottla_rpc::v1::cluster_server::Cluster;
use tonic::{Request, Response, Status};

use crate::deadline::Deadline;
use crate::front::Front;
use crate::quorum;
use crate::rebalance;
use crate::topics::{change_options, count, user_topics};

#[derive(Clone)]
pub(crate) struct ClusterService {
    front: Arc<Front>,
}

impl ClusterService {
    pub(crate) fn new(front: &Arc<Front>) -> Self {
        Self { front: Arc::clone(front) }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn describe_cluster(
        &self,
        _request: Request<v1::DescribeClusterRequest>,
    ) -> Result<Response<v1::DescribeClusterResponse>, Status> {
        let node = &self.front.node;
        let image = node.image();
        let held = Held::count(&image);
        Ok(Response::new(v1::DescribeClusterResponse {
            cluster_id: image.cluster_id().map(|id| id.to_string()).unwrap_or_default(),
            controller: node.controller().map(BrokerId::get),
            answered_by: node.id().get(),
            brokers: image.brokers().map(|registered| broker(registered, &held)).collect(),
            topics: count(user_topics(&image).count()),
            partitions: count(image.partition_count()),
            leaderless_partitions: held.leaderless,
            under_replicated_partitions: held.under_replicated,
            metadata_version: image.version(),
        }))
    }

    async fn describe_log_dirs(
        &self,
        request: Request<v1::DescribeLogDirsRequest>,
    ) -> Result<Response<v1::DescribeLogDirsResponse>, Status> {
        let wanted = request.into_inner().topics;
        let described = self.front.node.describe_log_directory(None).await;
        let topics = described.topics.into_iter();
        let topics =
            topics.filter(|(topic, _)| wanted.is_empty() || wanted.iter().any(|name| **name == **topic));
        let logs = topics.flat_map(|(topic, replicas)| {
            replicas.into_iter().map(move |replica| v1::LogSize {
                topic: topic.to_string(),
                partition: replica.partition.get(),
                size_bytes: bytes(replica.size_bytes),
            })
        });
        let (total_bytes, free_bytes) =
            described.space.map_or((0, 0), |space| (bytes(space.total), bytes(space.free)));
        Ok(Response::new(v1::DescribeLogDirsResponse {
            path: described.path.display().to_string(),
            total_bytes,
            free_bytes,
            logs: logs.collect(),
        }))
    }

    async fn alter_reassignments(
        &self,
        request: Request<v1::AlterReassignmentsRequest>,
    ) -> Result<Response<v1::AlterReassignmentsResponse>, Status> {
        let options = change_options(&self.front, Deadline::of(&request), request.get_ref().validate_only);
        rebalance::alter(&self.front.node, request.into_inner(), options).await
    }

    async fn list_reassignments(
        &self,
        _request: Request<v1::ListReassignmentsRequest>,
    ) -> Result<Response<v1::ListReassignmentsResponse>, Status> {
        Ok(Response::new(rebalance::list(&self.front.node.image())))
    }

    async fn elect_leaders(
        &self,
        request: Request<v1::ElectLeadersRequest>,
    ) -> Result<Response<v1::ElectLeadersResponse>, Status> {
        let options = change_options(&self.front, Deadline::of(&request), false);
        rebalance::elect(&self.front.node, request.into_inner(), options).await
    }

    async fn plan_moves(
        &self,
        request: Request<v1::PlanMovesRequest>,
    ) -> Result<Response<v1::PlanMovesResponse>, Status> {
        rebalance::plan(&self.front.node, request.into_inner()).map(Response::new).map_err(Status::from)
    }

    async fn describe_quorum(
        &self,
        _request: Request<v1::DescribeQuorumRequest>,
    ) -> Result<Response<v1::DescribeQuorumResponse>, Status> {
        quorum::describe(&self.front.node).await.map(Response::new).map_err(Status::from)
    }

    async fn add_voter(
        &self,
        request: Request<v1::AddVoterRequest>,
    ) -> Result<Response<v1::AddVoterResponse>, Status> {
        let within = change_options(&self.front, Deadline::of(&request), false).timeout;
        let voter = request.into_inner().voter;
        quorum::add_voter(&self.front.node, voter, within).await?;
        Ok(Response::new(v1::AddVoterResponse {}))
    }

    async fn remove_voter(
        &self,
        request: Request<v1::RemoveVoterRequest>,
    ) -> Result<Response<v1::RemoveVoterResponse>, Status> {
        let within = change_options(&self.front, Deadline::of(&request), false).timeout;
        let voter = request.into_inner().voter;
        quorum::remove_voter(&self.front.node, voter, within).await?;
        Ok(Response::new(v1::RemoveVoterResponse {}))
    }
}

/// What brokers hold, counted over all partitions.
#[derive(Default)]
struct Held {
    leaders: BTreeMap<BrokerId, i32>,
    replicas: BTreeMap<BrokerId, i32>,
    leaderless: i32,
    under_replicated: i32,
}

impl Held {
    fn count(image: &Image) -> Self {
        let mut held = Self::default();
        for (_, partition) in image.topics().flat_map(|topic| topic.partitions()) {
            match partition.leader {
                Some(leader) => *held.leaders.entry(leader).or_default() += 1,
                None => held.leaderless += 1,
            }
            for replica in &partition.replicas {
                *held.replicas.entry(*replica).or_default() += 1;
            }
            if partition.isr.len() < partition.replicas.len() {
                held.under_replicated += 1;
            }
        }
        held
    }
}

fn broker(registered: &Arc<Broker>, held: &Held) -> v1::Broker {
    let of = |counts: &BTreeMap<BrokerId, i32>| counts.get(&registered.id).copied().unwrap_or(0);
    v1::Broker {
        id: registered.id.get(),
        endpoints: registered.endpoints.iter().map(endpoint).collect(),
        rack: registered.rack.clone(),
        fenced: registered.fenced || registered.shutting_down,
        leaders: of(&held.leaders),
        replicas: of(&held.replicas),
        disk_full: registered.disk_full,
    }
}

fn endpoint(endpoint: &Endpoint) -> v1::Endpoint {
    let Endpoint { listener, host, port, .. } = endpoint;
    v1::Endpoint { listener: listener.clone(), host: host.clone(), port: i32::from(*port) }
}

fn bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
