//! The cluster itself: elections that an operator asks for, brokers that are gone for good.

use ottla_coordination::metadata::{
    BrokerError, Command, ElectLeaderError, ElectLeaders, Election, Response, UnregisterBroker,
};
use ottla_record::{BrokerId, PartitionIndex};

use crate::admin::{AdminError, ChangeMode, ChangeOptions};
use crate::node::Node;

/// What became of one partition's election.
pub type ElectionOutcome = (String, PartitionIndex, Result<(), ElectLeaderError>);

impl Node {
    /// Elects leaders (KIP-460): of the partitions named, or of all of them, and then only those are answered that changed
    /// or could not.
    ///
    /// # Errors
    /// Nothing was done, or it is not known.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<Vec<(String, PartitionIndex)>>,
        options: ChangeOptions,
    ) -> Result<Vec<ElectionOutcome>, AdminError> {
        let command = Command::ElectLeaders(ElectLeaders { election, partitions });
        match self.change(command, options).await? {
            Response::ElectLeaders(outcomes) => Ok(outcomes),
            _ => Err(AdminError::Mismatch),
        }
    }

    /// Forgets a broker that is gone for good: it leaves every set of in-sync replicas, and may come back only as a new one.
    ///
    /// # Errors
    /// Nothing was done, or it is not known.
    pub async fn unregister_broker(&self, broker: BrokerId) -> Result<Result<(), BrokerError>, AdminError> {
        let Some(epoch) = self.image().broker(broker).map(|known| known.epoch) else {
            return Ok(Err(BrokerError::NotRegistered(broker)));
        };
        let options =
            ChangeOptions { mode: ChangeMode::Commit, timeout: self.settings().config.request_timeout };
        let command = Command::UnregisterBroker(UnregisterBroker { broker, epoch });
        match self.change(command, options).await? {
            Response::UnregisterBroker(outcome) => Ok(outcome),
            _ => Err(AdminError::Mismatch),
        }
    }
}
