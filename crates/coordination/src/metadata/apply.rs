//! Applies commands to the image: the only place where it changes.

mod configuration;
mod import;
mod partition;
mod reassignment;
mod registration;
mod topics;

use ottla_record::{BrokerEpoch, BrokerId, ProducerId};

use super::command::{AllocateProducerIds, Command, FormCluster};
use super::image::{Image, PRODUCER_ID_BLOCK};
use super::response::{BrokerError, ProducerIdBlock, Response};

impl Image {
    /// Does what the command asks for, as far as it is allowed. The result depends on nothing but the image and the
    /// command; a refusal changes nothing but the version.
    pub fn apply(&mut self, command: &Command) -> Response {
        // Broker epochs are versions, so the version must be the command's own when it is applied.
        self.version += 1;
        let response = match command {
            Command::FormCluster(c) => Response::FormCluster(self.form_cluster(c)),
            Command::RegisterBroker(c) => Response::RegisterBroker(self.register_broker(c)),
            Command::UnregisterBroker(c) => Response::UnregisterBroker(self.unregister_broker(c)),
            Command::FenceBroker(c) => Response::FenceBroker(self.fence_broker(c)),
            Command::UnfenceBroker(c) => Response::UnfenceBroker(self.unfence_broker(c)),
            Command::BeginShutdown(c) => Response::BeginShutdown(self.begin_shutdown(c)),
            Command::ReportDisk(c) => Response::ReportDisk(self.report_disk(c)),
            Command::CreateTopics(c) => Response::CreateTopics(self.create_topics(c)),
            Command::DeleteTopics(c) => Response::DeleteTopics(self.delete_topics(c)),
            Command::CreatePartitions(c) => Response::CreatePartitions(self.create_partitions(c)),
            Command::AlterConfigs(c) => Response::AlterConfigs(self.alter_configs(c)),
            Command::AllocateProducerIds(c) => Response::AllocateProducerIds(self.allocate_producer_ids(c)),
            Command::AlterPartition(c) => Response::AlterPartition(self.alter_partition(c)),
            Command::ElectLeaders(c) => Response::ElectLeaders(self.elect_leaders(c)),
            Command::AlterReassignments(c) => Response::AlterReassignments(self.alter_reassignments(c)),
            Command::ImportTopics(c) => Response::ImportTopics(self.import_topics(c)),
        };
        debug_assert_eq!(self.check_invariants(), Ok(()));
        response
    }

    fn form_cluster(
        &mut self,
        command: &FormCluster,
    ) -> Result<ottla_record::ClusterId, ottla_record::ClusterId> {
        match self.cluster {
            None => {
                self.cluster = Some(command.cluster);
                Ok(command.cluster)
            }
            Some(cluster) if cluster == command.cluster => Ok(cluster),
            Some(cluster) => Err(cluster),
        }
    }

    fn allocate_producer_ids(
        &mut self,
        command: &AllocateProducerIds,
    ) -> Result<ProducerIdBlock, BrokerError> {
        self.check_epoch(command.broker, command.epoch)?;
        let first = self.next_producer_id;
        let next =
            first.get().checked_add(i64::from(PRODUCER_ID_BLOCK)).ok_or(BrokerError::ProducerIdsExhausted)?;
        self.next_producer_id = ProducerId::new(next);
        Ok(ProducerIdBlock { first, len: PRODUCER_ID_BLOCK })
    }

    /// Refuses what comes from or is about a process that has been replaced.
    fn check_epoch(&self, broker: BrokerId, epoch: BrokerEpoch) -> Result<(), BrokerError> {
        match self.broker(broker) {
            None => Err(BrokerError::NotRegistered(broker)),
            Some(registered) if registered.epoch != epoch => {
                Err(BrokerError::StaleEpoch { expected: registered.epoch, got: epoch })
            }
            Some(_) => Ok(()),
        }
    }
}
