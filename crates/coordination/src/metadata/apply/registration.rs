//! Brokers come and go.

use std::sync::Arc;

use ottla_record::{BrokerEpoch, BrokerId};

use crate::metadata::broker::Broker;
use crate::metadata::command::{
    BeginShutdown, FenceBroker, RegisterBroker, ReportDisk, UnfenceBroker, UnregisterBroker,
};
use crate::metadata::election::{self, Departure};
use crate::metadata::image::{Image, MAX_BROKERS};
use crate::metadata::response::{BrokerError, RegisterBrokerError};

impl Image {
    pub(super) fn register_broker(
        &mut self,
        command: &RegisterBroker,
    ) -> Result<BrokerEpoch, RegisterBrokerError> {
        let expected = self.cluster.ok_or(RegisterBrokerError::NoCluster)?;
        if expected != command.cluster {
            return Err(RegisterBrokerError::InconsistentCluster { expected, got: command.cluster });
        }
        let registered = self.broker(command.broker).cloned();
        if let Some(same) = registered.as_ref().filter(|b| b.incarnation == command.incarnation) {
            return Ok(same.epoch);
        }
        let current = registered.as_ref().map(|b| b.epoch);
        if current != command.replaces {
            return Err(RegisterBrokerError::Duplicate { registered: current });
        }
        let other = self.brokers().find(|b| b.directory == command.directory && b.id != command.broker);
        if let Some(other) = other {
            return Err(RegisterBrokerError::DirectoryInUse { directory: command.directory, by: other.id });
        }
        if registered.is_none() && self.brokers.len() >= MAX_BROKERS {
            return Err(RegisterBrokerError::TooMany { limit: MAX_BROKERS });
        }
        if let Some(former) = &registered {
            let kept = former.directory == command.directory;
            self.take_out(former, if kept { Departure::Fenced } else { Departure::Lost });
        }
        // The version is this command's own and never repeats, which is all that a term needs.
        let epoch = BrokerEpoch::new(i64::try_from(self.version).unwrap_or(i64::MAX));
        let broker = Broker {
            id: command.broker,
            incarnation: command.incarnation,
            epoch,
            directory: command.directory,
            endpoints: command.endpoints.clone(),
            rack: command.rack.clone(),
            fenced: true,
            shutting_down: false,
            disk_full: false,
        };
        self.brokers.insert(command.broker, Arc::new(broker));
        Ok(epoch)
    }

    pub(super) fn unregister_broker(&mut self, command: &UnregisterBroker) -> Result<(), BrokerError> {
        self.check_epoch(command.broker, command.epoch)?;
        let Some(broker) = self.broker(command.broker).cloned() else { return Ok(()) };
        if !broker.fenced {
            return Err(BrokerError::StillRunning(command.broker));
        }
        // With the registration goes the memory of its directory. If the id returns, nothing would tell an old log from an
        // empty one, so it may not count as in sync until it has caught up with somebody.
        self.take_out(&broker, Departure::Lost);
        self.brokers.remove(&command.broker);
        self.broker_configs.remove(&Some(command.broker));
        Ok(())
    }

    pub(super) fn fence_broker(&mut self, command: &FenceBroker) -> Result<(), BrokerError> {
        self.check_epoch(command.broker, command.epoch)?;
        let Some(broker) = self.broker(command.broker).cloned() else { return Ok(()) };
        if !broker.fenced {
            self.take_out(&broker, Departure::Fenced);
        }
        Ok(())
    }

    pub(super) fn unfence_broker(&mut self, command: &UnfenceBroker) -> Result<(), BrokerError> {
        self.check_epoch(command.broker, command.epoch)?;
        let Some(broker) = self.broker(command.broker).cloned() else { return Ok(()) };
        if broker.fenced {
            self.brokers.insert(broker.id, Arc::new(Broker { fenced: false, ..(*broker).clone() }));
            self.change_partitions(|image, topic, partition| {
                election::arrive(partition, image.unclean_election(topic), |b| image.is_active(b))
            });
        }
        Ok(())
    }

    pub(super) fn begin_shutdown(&mut self, command: &BeginShutdown) -> Result<(), BrokerError> {
        self.check_epoch(command.broker, command.epoch)?;
        let Some(broker) = self.broker(command.broker).cloned() else { return Ok(()) };
        if !broker.shutting_down {
            self.take_out(&broker, Departure::ShuttingDown);
        }
        Ok(())
    }

    pub(super) fn report_disk(&mut self, command: &ReportDisk) -> Result<(), BrokerError> {
        self.check_epoch(command.broker, command.epoch)?;
        let Some(broker) = self.broker(command.broker).filter(|b| b.disk_full != command.full) else {
            return Ok(());
        };
        let broker = Broker { disk_full: command.full, ..(**broker).clone() };
        self.brokers.insert(broker.id, Arc::new(broker));
        if command.full {
            self.change_partitions(|image, topic, partition| {
                let needed = image.min_in_sync(topic, partition);
                election::relieve(partition, command.broker, needed, |b| image.has_room(b))
            });
        }
        Ok(())
    }

    /// Marks a broker as going in this way and moves what it led and where it was in sync.
    fn take_out(&mut self, broker: &Broker, how: Departure) {
        let mut gone = broker.clone();
        match how {
            Departure::ShuttingDown => gone.shutting_down = true,
            Departure::Fenced | Departure::Lost => gone.fenced = true,
        }
        self.brokers.insert(broker.id, Arc::new(gone));
        self.change_partitions(|image, topic, partition| {
            election::depart(partition, broker.id, how, image.unclean_election(topic), |b| image.is_active(b))
        });
    }

    /// True if the broker may lead and take what is written.
    pub(super) fn has_room(&self, broker: BrokerId) -> bool {
        self.broker(broker).is_some_and(|b| b.has_room())
    }

    /// True if the broker may lead.
    pub(super) fn is_active(&self, broker: BrokerId) -> bool {
        self.broker(broker).is_some_and(|b| b.is_active())
    }
}
