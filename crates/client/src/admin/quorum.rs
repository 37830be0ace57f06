//! Who votes on the cluster's metadata.

use ottla_rpc::v1;
use ottla_rpc::v1::cluster_client::ClusterClient;

use super::Admin;
use crate::client::Repeat;
use crate::error::Error;

/// The metadata quorum, as its leader sees it.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let quorum: ottla_client::Quorum = admin.describe_quorum().await?;
/// println!("node {} leads", quorum.leader);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quorum {
    /// The node that leads.
    pub leader: i32,
    /// Its term; each election raises it.
    pub term: i64,
    /// End of what a majority has, in entries from 0; `None` while a new leader does not know it.
    pub high_watermark: Option<i64>,
    /// All members, by node.
    pub members: Vec<QuorumMember>,
}

/// A node that votes on the cluster's metadata, or only follows them.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let votes = |member: &&ottla_client::QuorumMember| member.votes;
/// println!("{} voters", admin.describe_quorum().await?.members.iter().filter(votes).count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumMember {
    /// Its id.
    pub node: i32,
    /// Id of its log directory, in Kafka's base64 spelling.
    pub directory_id: String,
    /// `host:port` of its control listener; `None` for a node that is alone.
    pub address: Option<String>,
    /// Whether it votes.
    pub votes: bool,
    /// End of its log, in entries from 0; `None` for one that the leader has not reached.
    pub log_end: Option<i64>,
    /// By how many entries it is behind the leader; `None` for one that the leader has not reached.
    pub lag: Option<i64>,
    /// For how many milliseconds it has been silent; `None` for one that the leader has not heard of.
    pub silent_ms: Option<i64>,
    /// How many milliseconds ago it had all that the leader had; `None` for one that never had, under this leader.
    pub behind_for_ms: Option<i64>,
}

impl Admin {
    /// Who votes on the cluster's metadata, who follows them, and how far everybody is.
    ///
    /// # Errors
    /// NOT_CONTROLLER while the quorum has no leader.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// for member in admin.describe_quorum().await?.members {
    ///     println!("node {}: votes {}, behind by {:?}", member.node, member.votes, member.lag);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_quorum(&self) -> Result<Quorum, Error> {
        let answer = self.client.call("describing the metadata quorum", Repeat::Harmless, |channel| {
            let request = self.with_deadline(v1::DescribeQuorumRequest {});
            async { ClusterClient::new(channel).describe_quorum(request).await }
        });
        answer.await.map(Quorum::from)
    }

    /// Gives a node that follows the cluster's metadata a vote on them. Without a directory, to the one with which it takes part.
    /// One that is behind gets the vote when it has caught up, if that is soon.
    ///
    /// # Errors
    /// DUPLICATE_VOTER if it votes; REQUEST_TIMED_OUT if it takes no part, or is behind; INVALID_REQUEST if it takes part with
    /// another directory.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// admin.add_voter(3, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn add_voter(&self, node: i32, directory_id: Option<&str>) -> Result<(), Error> {
        let request = v1::AddVoterRequest { voter: Some(named(node, directory_id)) };
        // To give a vote a second time would be an error.
        let answer = self.client.call("adding a voter", Repeat::UnlessDone, |channel| {
            let request = self.with_deadline(request.clone());
            async { ClusterClient::new(channel).add_voter(request).await }
        });
        answer.await.map(|v1::AddVoterResponse {}| ())
    }

    /// Takes a voter's vote; it goes on following. Without a directory, of the one with which it takes part. A leader that loses
    /// its vote hands over first.
    ///
    /// # Errors
    /// VOTER_NOT_FOUND if it does not vote; INVALID_REQUEST if it is the only voter, or `controller.quorum.voters` lists it.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// admin.remove_voter(3, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn remove_voter(&self, node: i32, directory_id: Option<&str>) -> Result<(), Error> {
        let request = v1::RemoveVoterRequest { voter: Some(named(node, directory_id)) };
        let answer = self.client.call("removing a voter", Repeat::UnlessDone, |channel| {
            let request = self.with_deadline(request.clone());
            async { ClusterClient::new(channel).remove_voter(request).await }
        });
        answer.await.map(|v1::RemoveVoterResponse {}| ())
    }
}

fn named(node: i32, directory_id: Option<&str>) -> v1::VoterName {
    v1::VoterName { node, directory_id: directory_id.unwrap_or_default().to_owned() }
}

impl From<v1::DescribeQuorumResponse> for Quorum {
    fn from(answer: v1::DescribeQuorumResponse) -> Self {
        let v1::DescribeQuorumResponse { leader, term, high_watermark, members } = answer;
        let members = members.into_iter().map(QuorumMember::from).collect();
        Self { leader, term, high_watermark, members }
    }
}

impl From<v1::QuorumMember> for QuorumMember {
    fn from(member: v1::QuorumMember) -> Self {
        let v1::QuorumMember { node, directory_id, address, votes, log_end, lag, silent_ms, behind_for_ms } =
            member;
        let address = Some(address).filter(|address| !address.is_empty());
        Self { node, directory_id, address, votes, log_end, lag, silent_ms, behind_for_ms }
    }
}
