//! Producer ids: handed out one by one from blocks that the cluster gives this broker (KIP-730).

use ottla_coordination::metadata::{AllocateProducerIds, BrokerError, Command, Response};
use ottla_record::{ProducerEpoch, ProducerId};
use tokio::sync::Mutex;

use crate::node::Node;
use crate::ports::ProposeError;

/// What is left of the block in use.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    left: Mutex<std::ops::Range<i64>>,
}

/// Why there is no new producer id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerIdError {
    /// The metadata cannot be changed now.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The cluster refused a block.
    #[error(transparent)]
    Refused(#[from] BrokerError),
    /// The cluster answered another question than was asked: a defect.
    #[error("the controller's answer does not fit the question")]
    Mismatch,
}

impl Node {
    /// A new producer id, never given out before and never again, at epoch 0.
    ///
    /// # Errors
    /// A new block was needed and not granted.
    pub async fn new_producer(&self) -> Result<(ProducerId, ProducerEpoch), ProducerIdError> {
        let mut left = self.producer_ids.left.lock().await;
        if left.is_empty() {
            let asked = AllocateProducerIds { broker: self.id(), epoch: self.broker_epoch };
            match self.propose(Command::AllocateProducerIds(asked)).await? {
                Response::AllocateProducerIds(block) => {
                    let block = block?;
                    *left = block.first.get()..block.first.get() + i64::from(block.len);
                }
                _ => return Err(ProducerIdError::Mismatch),
            }
        }
        let id = left.next().ok_or(ProducerIdError::Mismatch)?;
        Ok((ProducerId::new(id), ProducerEpoch::ZERO))
    }
}
