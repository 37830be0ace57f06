//! Leaderships that return to the preferred leaders by themselves (`auto.leader.rebalance.enable`).
//!
//! Whoever was lost and came back leads nothing any more, and others do its work. The controller looks every
//! `leader.imbalance.check.interval.seconds`: [`Checks`] tells when, [`imbalance`] what is to be elected. Kafka 4 has no threshold
//! any more (`leader.imbalance.per.broker.percentage` went with ZooKeeper): each partition that can be led by its preferred leader is.

use std::time::Duration;

use ottla_record::Monotonic;

use super::command::{ElectLeaders, Election};
use super::image::Image;

/// The most elections in one command (Kafka's bound), so that a check of a large cluster holds up nothing else. If there are
/// more, [`Checks`] asks again at once.
pub const MAX_ELECTIONS: usize = 1_000;

/// The elections that give leaderships back; `None` if every partition is led by its preferred leader, or that one is not alive
/// and in sync. A partition that moves is left alone: its move decides who leads.
pub fn imbalance(image: &Image) -> Option<ElectLeaders> {
    let partitions =
        image.topics().flat_map(|topic| topic.partitions().map(move |(index, p)| (topic, index, p)));
    let away = partitions.filter(|(_, _, partition)| {
        let preferred = partition.replicas.first();
        partition.reassignment.is_none()
            && preferred.is_some_and(|preferred| {
                partition.leader != Some(*preferred)
                    && partition.isr.contains(preferred)
                    && image.broker(*preferred).is_some_and(|broker| broker.has_room())
            })
    });
    let named: Vec<_> =
        away.take(MAX_ELECTIONS).map(|(topic, index, _)| (topic.name().to_string(), index)).collect();
    (!named.is_empty()).then_some(ElectLeaders { election: Election::Preferred, partitions: Some(named) })
}

/// When the controller looks, as one node knows it: a pure machine that is told the time.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// `None`: nobody looks.
    interval: Option<Duration>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// This node is not the controller, or nobody looks.
    Idle,
    /// The next look is due then.
    Due(Monotonic),
    /// Elections are asked for and not decided yet.
    Asked,
}

impl Checks {
    /// A node that is not the controller. Without an interval it never looks (`auto.leader.rebalance.enable=false`).
    pub fn new(interval: Option<Duration>) -> Self {
        Self { interval, state: State::Idle }
    }

    /// This node became the controller. Its first look is an interval away: after an election brokers are still coming back.
    pub fn took_control(&mut self, now: Monotonic) {
        self.state = self.interval.map_or(State::Idle, |interval| State::Due(now + interval));
    }

    /// Another node is the controller, or none.
    pub fn lost_control(&mut self) {
        self.state = State::Idle;
    }

    /// When [`Checks::check`] is wanted; [`Monotonic::NEVER`] if nothing is waited for.
    pub fn next_deadline(&self) -> Monotonic {
        match self.state {
            State::Due(due) => due,
            State::Idle | State::Asked => Monotonic::NEVER,
        }
    }

    /// What to propose now, if a look is due. Tell [`Checks::decided`] what became of it.
    pub fn check(&mut self, now: Monotonic, image: &Image) -> Option<ElectLeaders> {
        if self.next_deadline() > now {
            return None;
        }
        let command = imbalance(image);
        match command {
            Some(_) => self.state = State::Asked,
            None => self.took_control(now),
        }
        command
    }

    /// What was proposed is decided, and so many leaders were elected; 0 if nobody knows. Only a command that was full, and
    /// succeeded as a whole, is followed at once by the next one.
    pub fn decided(&mut self, now: Monotonic, elected: usize) {
        if !matches!(self.state, State::Asked) {
            return;
        }
        match elected >= MAX_ELECTIONS {
            true => self.state = State::Due(now),
            false => self.took_control(now),
        }
    }
}

#[cfg(test)]
mod tests;
