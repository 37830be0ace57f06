//! Leaders and in-sync replicas of existing partitions.

use std::sync::Arc;

use ottla_record::{BrokerId, PartitionIndex, TopicId};

use crate::config::deviation::default_min_insync_replicas;
use crate::metadata::command::{AlterPartition, ElectLeaders, Election, IsrChange};
use crate::metadata::election;
use crate::metadata::image::Image;
use crate::metadata::response::{AlterPartitionError, BrokerError, ElectLeaderError, PartitionState};
use crate::metadata::topic::{Partition, Topic};

type ElectionResult = (String, PartitionIndex, Result<(), ElectLeaderError>);

impl Image {
    pub(super) fn alter_partition(
        &mut self,
        command: &AlterPartition,
    ) -> Result<Vec<Result<PartitionState, AlterPartitionError>>, BrokerError> {
        self.check_epoch(command.broker, command.epoch)?;
        let mut results = Vec::with_capacity(command.changes.len());
        for change in &command.changes {
            let decided = self.decide_isr(command.broker, change);
            match &decided {
                Ok(partition) => {
                    self.replace_partition(change.topic, change.partition, partition.clone());
                }
                // The asker will not count that member any more. A copy of what it asked may still be on its way, and arrive when the
                // member is eligible: it must find that it is old (ADR 0067).
                Err(AlterPartitionError::IneligibleReplica) => {
                    self.raise_version(change.topic, change.partition);
                }
                Err(_) => {}
            }
            results.push(decided.and_then(|p| {
                // It ended a move. The asker may not take the new set for its own in the term it knows: another leads, or it
                // leads itself in a newer term, of which only the image tells it.
                if p.leader != Some(command.broker) || p.leader_epoch != change.leader_epoch {
                    return Err(AlterPartitionError::NewLeaderElected);
                }
                let Partition { leader, leader_epoch, isr, partition_epoch, .. } = p;
                Ok(PartitionState { leader, leader_epoch, isr, partition_epoch })
            }));
        }
        Ok(results)
    }

    /// The order of the checks is Kafka's: a leader that is behind must hear that first, or it would give up on a
    /// change that only needs a newer base.
    fn decide_isr(&self, asker: BrokerId, change: &IsrChange) -> Result<Partition, AlterPartitionError> {
        let topic = self.topic_by_id(change.topic).ok_or(AlterPartitionError::UnknownTopicId)?;
        let partition = topic.partition(change.partition).ok_or(AlterPartitionError::UnknownPartition)?;
        if partition.leader != Some(asker) || change.leader_epoch != partition.leader_epoch {
            return Err(AlterPartitionError::FencedLeaderEpoch);
        }
        if change.partition_epoch != partition.partition_epoch {
            return Err(AlterPartitionError::InvalidUpdateVersion);
        }
        let isr: Vec<BrokerId> = change.isr.iter().map(|member| member.broker).collect();
        let twice = isr.iter().enumerate().any(|(i, b)| isr.iter().take(i).any(|earlier| earlier == b));
        if twice || !isr.contains(&asker) || !isr.iter().all(|b| partition.replicas.contains(b)) {
            return Err(AlterPartitionError::InvalidIsr);
        }
        let eligible = change.isr.iter().all(|member| {
            // A member that is leaving stays in until it is taken out; it only may not be added.
            let stays = partition.isr.contains(&member.broker);
            self.broker(member.broker)
                .is_some_and(|b| b.epoch == member.epoch && !b.fenced && (stays || b.has_room()))
        });
        if !eligible {
            return Err(AlterPartitionError::IneligibleReplica);
        }
        let mut after = (**partition).clone();
        after.isr = isr;
        // The members that complete a move end it in the same step.
        let settled = election::settle(partition, after, |b| self.is_active(b));
        // If nothing changed, the asker expects an answer with an epoch of its own, as for any other change.
        Ok(settled.unwrap_or_else(|| raised(partition)))
    }

    /// Makes everything old that was asked of a partition on its version so far.
    fn raise_version(&mut self, topic: TopicId, index: PartitionIndex) {
        let partition = self.topic_by_id(topic).and_then(|topic| topic.partition(index));
        if let Some(raised) = partition.map(|partition| raised(partition)) {
            self.replace_partition(topic, index, raised);
        }
    }

    pub(super) fn elect_leaders(&mut self, command: &ElectLeaders) -> Vec<ElectionResult> {
        match &command.partitions {
            Some(named) => named
                .iter()
                .map(|(topic, index)| (topic.clone(), *index, self.elect(topic, *index, command.election)))
                .collect(),
            None => {
                let all: Vec<(String, PartitionIndex)> = self
                    .topics()
                    .flat_map(|topic| topic.partitions().map(|(index, _)| (topic.name.to_string(), index)))
                    .collect();
                all.into_iter()
                    .map(|(topic, index)| {
                        let result = self.elect(&topic, index, command.election);
                        (topic, index, result)
                    })
                    // Whoever asks for all of them wants to hear of those that changed or could not.
                    .filter(|(_, _, result)| *result != Err(ElectLeaderError::NotNeeded))
                    .collect()
            }
        }
    }

    fn elect(
        &mut self,
        name: &str,
        index: PartitionIndex,
        election: Election,
    ) -> Result<(), ElectLeaderError> {
        let topic = self.topic(name).ok_or_else(|| ElectLeaderError::UnknownTopic(name.to_owned()))?;
        let unknown = || ElectLeaderError::UnknownPartition(topic.name.clone(), index);
        let partition = topic.partition(index).ok_or_else(unknown)?;
        let alive = |b| self.is_active(b);
        let elected = match election {
            Election::Preferred if partition.leader == partition.replicas.first().copied() => {
                return Err(ElectLeaderError::NotNeeded);
            }
            Election::Preferred => election::prefer(partition, |b| self.has_room(b))
                .ok_or(ElectLeaderError::PreferredNotAvailable)?,
            Election::Unclean if partition.leader.is_some() => return Err(ElectLeaderError::NotNeeded),
            Election::Unclean => {
                election::arrive(partition, true, alive).ok_or(ElectLeaderError::EligibleNotAvailable)?
            }
        };
        let id = topic.id;
        self.replace_partition(id, index, elected);
        Ok(())
    }

    /// True if a replica that is not in sync may lead the topic rather than nobody (`unclean.leader.election.enable`).
    pub(super) fn unclean_election(&self, topic: &Topic) -> bool {
        const NAME: &str = "unclean.leader.election.enable";
        let of_all = || self.broker_configs(None).and_then(|configs| configs.get(NAME));
        topic.configs.get(NAME).or_else(of_all).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// How many replicas must be in sync for `acks=all`, as far as the metadata know: a value in a broker's own file is not among them.
    pub(super) fn min_in_sync(&self, topic: &Topic, partition: &Partition) -> usize {
        const NAME: &str = "min.insync.replicas";
        let of_all = || self.broker_configs(None).and_then(|configs| configs.get(NAME));
        let set = topic.configs.get(NAME).or_else(of_all).and_then(|value| value.trim().parse::<i64>().ok());
        let needed = set.unwrap_or_else(|| default_min_insync_replicas(partition.replicas.len()));
        usize::try_from(needed).unwrap_or(1).min(partition.replicas.len())
    }

    /// Looks at every partition and replaces those for which `decide` has another value, and nothing else: what stays is
    /// shared with the image before.
    pub(super) fn change_partitions(
        &mut self,
        decide: impl Fn(&Self, &Topic, &Partition) -> Option<Partition>,
    ) {
        let mut changed = Vec::new();
        for topic in self.topics() {
            for (index, partition) in topic.partitions() {
                if let Some(after) = decide(self, topic, partition) {
                    changed.push((topic.id, index, after));
                }
            }
        }
        for (topic, index, partition) in changed {
            self.replace_partition(topic, index, partition);
        }
    }

    pub(super) fn replace_partition(&mut self, topic: TopicId, index: PartitionIndex, partition: Partition) {
        let Some(name) = self.names.get(&topic) else { return };
        let Some(topic) = self.topics.get_mut(name) else { return };
        let slot = usize::try_from(index.get()).ok();
        if let Some(slot) = slot.and_then(|slot| Arc::make_mut(topic).partitions.get_mut(slot)) {
            *slot = Arc::new(partition);
        }
    }
}

/// A partition as it is, in its next version.
fn raised(partition: &Partition) -> Partition {
    Partition { partition_epoch: partition.partition_epoch.next(), ..partition.clone() }
}
