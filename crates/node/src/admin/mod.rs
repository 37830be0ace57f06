//! Administration: topics, configs, offsets, records, log directories, the cluster.
//!
//! What changes the cluster goes through [`Node::change`], which also answers questions of the kind "would it work?".

pub mod cluster;
pub mod configs;
pub mod epochs;
pub mod log_directories;
pub mod offsets;
pub mod quorum;
pub mod reassignments;
pub mod records;
mod repeated;
pub mod topics;

use std::sync::Arc;
use std::time::Duration;

use ottla_coordination::metadata::{Command, Response};

use crate::host::PartitionHost;
use crate::node::Node;
use crate::ports::ProposeError;
use crate::topics::{LookupError, TopicKey};

/// Pause before a change is asked for again whose controller was lost. The next one takes some tenths of a second to come.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How a change is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeOptions {
    /// Whether to do it.
    pub mode: ChangeMode,
    /// How long the caller waits. The change may still happen afterwards.
    pub timeout: Duration,
}

/// Whether a change is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeMode {
    /// Make it.
    Commit,
    /// Only check it, against what is known here now.
    Validate,
}

/// Why nothing of a request was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The metadata cannot be changed now.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// It takes longer than the caller waits. It may still happen.
    #[error("the change was not confirmed in time")]
    TimedOut,
    /// `delete.topic.enable` is false.
    #[error("Topic deletion is disabled.")]
    DeletionDisabled,
    /// The cluster answered another question than was asked: a defect.
    #[error("the controller's answer does not fit the question")]
    Mismatch,
}

impl Node {
    /// Makes or checks a change of the cluster.
    pub(crate) async fn change(
        &self,
        command: Command,
        options: ChangeOptions,
    ) -> Result<Response, AdminError> {
        match options.mode {
            // No quorum is needed for a preview, only the image.
            ChangeMode::Validate => Ok(self.image().preview(&command)),
            ChangeMode::Commit => {
                let proposed = tokio::time::timeout(options.timeout, self.propose_until_known(command)).await;
                Ok(proposed.map_err(|_| AdminError::TimedOut)??)
            }
        }
    }

    /// Proposes a change until somebody knows what became of it.
    async fn propose_until_known(&self, command: Command) -> Result<Response, ProposeError> {
        let before = self.image();
        let mut outcome = self.propose(command.clone()).await;
        while let Err(ProposeError::Unknown(why)) = &outcome {
            tracing::debug!(why, "a change is asked for again");
            tokio::time::sleep(ASK_AGAIN).await;
            let again = self.propose(command.clone()).await;
            outcome = again.map(|response| repeated::settle(&command, &before, &self.image(), response));
        }
        outcome
    }

    /// A partition hosted here, by the names a client uses.
    pub(crate) fn hosted(&self, topic: &str, partition: i32) -> Result<Arc<PartitionHost>, LookupError> {
        let topics = self.topics();
        let host = topics.topic(TopicKey::Name(topic))?.partition(partition)?;
        Ok(Arc::clone(host))
    }
}
