//! The metadata quorum: who votes, how far everybody is, and votes that an operator gives and takes (KIP-595, KIP-853).

use std::time::Duration;

use ottla_coordination::metadata::voters::{QuorumDescription, VoterChange};
use ottla_record::{BrokerId, DirectoryId};

use crate::node::Node;
use crate::ports::VoterError;

/// How long a description waits for a leader. A client asks again after that, perhaps another broker.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(2);

impl Node {
    /// The quorum as its leader sees it. Any broker can tell: one that does not lead asks the one that does.
    ///
    /// # Errors
    /// No leader answers.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, VoterError> {
        self.metadata.describe_quorum(DESCRIBED_WITHIN).await
    }

    /// Gives a vote or takes it. `cluster` is the cluster that is meant, if the caller says so.
    ///
    /// # Errors
    /// It was refused; or it is not known what came of it.
    pub async fn change_voter(
        &self,
        cluster: Option<&str>,
        change: VoterChange,
        within: Duration,
    ) -> Result<(), VoterError> {
        let here = self.image().cluster_id().map(|id| id.to_string()).unwrap_or_default();
        if let Some(asked) = cluster.filter(|asked| *asked != here) {
            return Err(VoterError::OtherCluster { here, asked: asked.to_owned() });
        }
        self.metadata.change_voter(change, within).await
    }

    /// The log directory with which a node takes part in the quorum; `None` for one that does not.
    ///
    /// # Errors
    /// No leader answers.
    pub async fn quorum_directory(&self, node: BrokerId) -> Result<Option<DirectoryId>, VoterError> {
        let quorum = self.describe_quorum().await?;
        let member = quorum.members.iter().find(|member| member.node == node);
        Ok(member.map(|member| member.directory))
    }
}
