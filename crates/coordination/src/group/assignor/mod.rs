//! Who shall own what: the two assignors that a group coordinator offers its consumer groups (KIP-848).
//!
//! | name | what it gives | what it keeps |
//! |---|---|---|
//! | `uniform` | loads that differ by one at most where members subscribe to the same topics, else as even as the subscriptions let them be | whatever a member has now, unless balance needs it elsewhere |
//! | `range` | of every topic one contiguous range per subscriber; topics of equal size line up, so that member and partition agree across them (for joins) | what follows from the order of members: static ones first by instance id, the others by member id |
//!
//! Both are functions of members and topics alone. Where members and brokers have racks, partitions go to members near one of their replicas as
//! far as that costs neither balance nor stickiness: [`racks`]. Kafka 4.3 stores racks and assigns anew when they change, and looks at
//! them no further; Kafka's consumers do so by themselves in the classic protocol (KIP-881). With racks, a member's share of a topic in `range` need not
//! be contiguous; topics still line up.
//!
//! Every partition of a topic that somebody subscribes to gets exactly one owner among its subscribers.

mod racks;
mod range;
mod uniform;

use std::fmt;

use ottla_record::TopicId;

use super::partitions::Partitions;

pub use racks::{Rack, RackSet};

/// An assignment strategy (`group.consumer.assignors`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// Balanced and sticky; the default.
    Uniform,
    /// Contiguous and aligned across topics.
    Range,
}

/// One topic that somebody subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic<'a> {
    /// Its id.
    pub id: TopicId,
    /// Its partitions, numbered from 0.
    pub partitions: u32,
    /// For each partition the racks of its replicas, as far as members stand in them. Empty if nothing is known.
    pub racks: &'a [RackSet],
}

impl Topic<'_> {
    fn racks_of(&self, partition: usize) -> RackSet {
        self.racks.get(partition).copied().unwrap_or_default()
    }
}

/// One member that wants partitions.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its instance id, if it is static (KIP-345).
    pub instance: Option<&'a str>,
    /// What it subscribes to: positions in the list of topics, ascending.
    pub topics: &'a [u32],
    /// What it is to own today.
    pub assigned: &'a Partitions,
    /// Where it stands.
    pub rack: Option<Rack>,
}

impl Assignor {
    /// The assignor of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// Its name, as clients ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each member shall own, in the order of `members`. `topics` must ascend by id, and every position that a member subscribes to
    /// must be in it (asserted).
    pub fn assign(self, topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Partitions> {
        debug_assert!(topics.is_sorted_by(|a, b| a.id < b.id), "topics ascend by id");
        debug_assert!(members.iter().all(|m| m.topics.is_sorted_by(|a, b| a < b)), "subscriptions ascend");
        assert!(
            members.iter().all(|m| m.topics.last().is_none_or(|last| (*last as usize) < topics.len())),
            "subscriptions are positions in the list of topics"
        );
        match self {
            Self::Uniform => uniform::assign(topics, members),
            Self::Range => range::assign(topics, members),
        }
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests;
