//! Which brokers live, as the controller sees it: a pure machine over heartbeats, ended streams and dials.
//!
//! Liveness is memory; only its consequences are commands. Every voter notes every heartbeat, so that whoever becomes
//! controller next knows who was heard of and when; only the controller acts. Failure is noticed twice: a process that dies
//! closes its stream without a goodbye and is dialled at once, and a host that falls silent runs out of its session.
//!
//! The machine asks for [`FenceBroker`](super::FenceBroker) and [`UnfenceBroker`](super::UnfenceBroker) through effects, and
//! looks at the image for what came of them. It compares what it knows of a broker with how the image has it:
//!
//! | in the image | what is known of that registration | effect |
//! |---|---|---|
//! | not fenced | its address refused the dial, or another incarnation answered there | `Fence` |
//! | not fenced | its stream ended after it had said that it wants to stop | `Fence` |
//! | not fenced | no heartbeat for a session | `Fence` |
//! | not fenced | its oldest unfinished flush is as old as a session | `Fence` |
//! | not fenced | it says that it is not ready | `Fence` |
//! | not fenced | its stream ended without a goodbye, or a new controller took over | `Dial` |
//! | fenced | heard within a session, ready, does not want to stop, flushes, and its image has its registration | `Unfence` |
//! | any other | | nothing |
//!
//! What a dial says counts for less than a heartbeat that came after it was sent. A dial that brings nothing (no route,
//! no answer) and one that the same incarnation answers change nothing: the session decides.
//!
//! A new controller grants everybody two heartbeats from its election on, and a whole session to those of whom it has never
//! heard: it may have been cut off itself. It has not been, and grants nobody anything, once a third broker is heard of after the
//! election that it has heard of all the time, without a gap of two heartbeats: then silence is the silent one's.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_record::{BrokerEpoch, BrokerId, Monotonic, Now};

use super::broker::Broker;
use super::image::Image;

/// How long silence may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessConfig {
    /// `broker.session.timeout.ms`: a broker that is not heard of for this long is fenced.
    pub session: Duration,
    /// `broker.heartbeat.interval.ms`
    pub heartbeat: Duration,
}

/// What a broker says of itself, every [`LivenessConfig::heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The registration it lives under.
    pub epoch: BrokerEpoch,
    /// Version of its image.
    pub image_version: u64,
    /// Since when its oldest unfinished flush runs; `None` if none does.
    pub oldest_flush_age: Option<Duration>,
    /// Its logs are open, and it may lead.
    pub ready: bool,
    /// It is about to stop. A stream that ends after this has said goodbye.
    pub wants_to_stop: bool,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node was elected and has applied everything its predecessors committed.
    BecameController,
    /// Another node was elected, or this one cannot reach a majority.
    LostControl,
    /// A broker was heard of.
    Heartbeat(Heartbeat),
    /// The stream of a broker's heartbeats ended, for whatever reason.
    StreamEnded {
        /// The broker.
        broker: BrokerId,
        /// Under the registration it last named.
        epoch: BrokerEpoch,
    },
    /// A dial that [`Effect::Dial`] asked for is over.
    Dialled {
        /// The broker.
        broker: BrokerId,
        /// The registration it was looked for under.
        epoch: BrokerEpoch,
        /// What came of it.
        outcome: DialOutcome,
    },
    /// The image changed, or [`Liveness::next_deadline`] has come.
    Tick,
}

/// What a dial of a broker's control address found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialOutcome {
    /// The host is there and nobody listens: the process is gone.
    Refused,
    /// The process that registered answered.
    SameIncarnation,
    /// Another process answered: the one that registered is gone.
    OtherIncarnation,
    /// Nothing was learnt.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Propose to fence this registration.
    Fence {
        /// The broker.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
        /// It had said that it would stop.
        announced: bool,
    },
    /// Propose to unfence this registration.
    Unfence {
        /// The broker.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// Look whether the process of this registration is there, and report [`Event::Dialled`].
    Dial {
        /// The broker.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
}

/// Who lives, as one voter knows it.
///
/// Invariants (checked by `check_invariants`): every broker is in the image, under the same registration; nothing is asked for and nothing is due on a node that is not the
/// controller.
#[derive(Clone, Debug)]
pub struct Liveness {
    /// The broker of this node, of which it hears even if it hears of nobody else.
    own: BrokerId,
    config: LivenessConfig,
    /// Since when this node is the controller.
    controller_since: Option<Monotonic>,
    brokers: BTreeMap<BrokerId, Sighting>,
    /// Version of the image that `brokers` was last brought in line with.
    image_version: Option<u64>,
    /// May be early: a heartbeat extends a session and leaves this alone.
    due: Monotonic,
}

/// What is known of one registration.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    epoch: BrokerEpoch,
    /// When this node first knew of it.
    noted: Monotonic,
    /// Its last heartbeat, and when that came.
    last: Option<(Monotonic, Heartbeat)>,
    /// Since when it has been heard of without a gap of two heartbeats. Before `last`.
    steady_since: Monotonic,
    /// When a dial was last asked for that has not come back.
    dialled: Option<Monotonic>,
    /// It is known to be dead.
    gone: bool,
    /// When it was last asked to be fenced or unfenced, while the image does not show it.
    asked: Option<Monotonic>,
}

impl Liveness {
    /// The node of this broker. It knows of nobody and is not the controller.
    pub fn new(own: BrokerId, config: LivenessConfig) -> Self {
        Self {
            own,
            config,
            controller_since: None,
            brokers: BTreeMap::new(),
            image_version: None,
            due: Monotonic::NEVER,
        }
    }

    /// Takes an event in, and says what is to be done. `image` is the newest one of this node.
    pub fn handle(&mut self, event: Event, now: Now, image: &Image) -> Vec<Effect> {
        let now = now.monotonic;
        let mut effects = Vec::new();
        let image_changed = self.follow(image, now);
        match event {
            Event::BecameController => {
                self.controller_since = Some(now);
                self.due = now;
                for broker in image.brokers().filter(|broker| !broker.fenced) {
                    effects.extend(self.dial(broker.id, broker.epoch, now));
                }
            }
            Event::LostControl => {
                self.controller_since = None;
                self.due = Monotonic::NEVER;
                for sighting in self.brokers.values_mut() {
                    (sighting.dialled, sighting.asked) = (None, None);
                }
            }
            Event::Heartbeat(heartbeat) => {
                self.hear(heartbeat, now);
                // Who is heard of for the first time tells that others could have been.
                if self.controller_since.is_some_and(|since| now < self.grace_end(since)) {
                    self.due = now;
                }
                effects.extend(self.decide(heartbeat.broker, now, image));
            }
            Event::StreamEnded { broker, epoch } => {
                effects.extend(self.end_of_stream(broker, epoch, now, image));
            }
            Event::Dialled { broker, epoch, outcome } => {
                self.answer(broker, epoch, outcome);
                effects.extend(self.decide(broker, now, image));
            }
            Event::Tick => {}
        }
        if self.due <= now || image_changed {
            effects.extend(self.sweep(now, image));
        }
        debug_assert_eq!(self.check_invariants(image), Ok(()));
        effects
    }

    /// When [`Event::Tick`] is wanted at the latest; [`Monotonic::NEVER`] if nothing is waited for.
    pub fn next_deadline(&self) -> Monotonic {
        self.due
    }

    /// The first broken invariant, in words.
    pub fn check_invariants(&self, image: &Image) -> Result<(), String> {
        let watched =
            |(id, sighting): (&BrokerId, &Sighting)| registered(image, *id, sighting.epoch).is_some();
        if let Some((id, _)) = self.brokers.iter().find(|(id, sighting)| !watched((id, sighting))) {
            return Err(format!("broker {id} is watched under a registration that it does not have"));
        }
        let idle = self.due == Monotonic::NEVER && self.brokers.values().all(|s| s.asked.is_none());
        if self.controller_since.is_none() && !idle {
            return Err("something is waited for on a node that is not the controller".to_owned());
        }
        Ok(())
    }

    /// Brings the brokers in line with the image. True if it is another one than the last time.
    fn follow(&mut self, image: &Image, now: Monotonic) -> bool {
        if self.image_version == Some(image.version()) {
            return false;
        }
        self.image_version = Some(image.version());
        self.brokers.retain(|id, _| image.broker(*id).is_some());
        for broker in image.brokers() {
            let sighting = self.brokers.entry(broker.id).or_insert_with(|| Sighting::new(broker.epoch, now));
            if sighting.epoch != broker.epoch {
                *sighting = Sighting::new(broker.epoch, now);
            }
        }
        true
    }

    fn hear(&mut self, heartbeat: Heartbeat, now: Monotonic) {
        // Of a registration that is not in the image yet the next heartbeat tells as much.
        let sighting = self.brokers.get_mut(&heartbeat.broker);
        if let Some(sighting) = sighting.filter(|sighting| sighting.epoch == heartbeat.epoch) {
            let is_steady = sighting.last.is_some_and(|(before, _)| now < before + 2 * self.config.heartbeat);
            if !is_steady {
                sighting.steady_since = now;
            }
            sighting.last = Some((now, heartbeat));
            sighting.gone = false;
        }
    }

    fn end_of_stream(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        now: Monotonic,
        image: &Image,
    ) -> Option<Effect> {
        let sighting = self.brokers.get_mut(&id).filter(|sighting| sighting.epoch == epoch)?;
        if sighting.last.is_some_and(|(_, heartbeat)| heartbeat.wants_to_stop) {
            sighting.gone = true;
            return self.decide(id, now, image);
        }
        self.controller_since?;
        registered(image, id, epoch).filter(|broker| !broker.fenced)?;
        self.dial(id, epoch, now)
    }

    fn dial(&mut self, broker: BrokerId, epoch: BrokerEpoch, now: Monotonic) -> Option<Effect> {
        let sighting = self.brokers.get_mut(&broker).filter(|sighting| sighting.epoch == epoch)?;
        sighting.dialled = Some(now);
        Some(Effect::Dial { broker, epoch })
    }

    fn answer(&mut self, broker: BrokerId, epoch: BrokerEpoch, outcome: DialOutcome) {
        let Some(sighting) = self.brokers.get_mut(&broker).filter(|s| s.epoch == epoch) else { return };
        let Some(dialled) = sighting.dialled.take() else { return };
        let heard_since = sighting.last.is_some_and(|(at, _)| at > dialled);
        match outcome {
            DialOutcome::Refused | DialOutcome::OtherIncarnation if !heard_since => sighting.gone = true,
            _ => {}
        }
    }

    /// Until when a new controller grants everybody that it may have been cut off itself.
    fn grace_end(&self, controller_since: Monotonic) -> Monotonic {
        controller_since + 2 * self.config.heartbeat
    }

    /// Until when the silence of a broker that was heard of before means nothing, whatever its session.
    fn grace_of(&self, id: BrokerId, controller_since: Monotonic) -> Monotonic {
        let others = self.brokers.iter().filter(|(other, _)| **other != id && **other != self.own);
        let steady =
            others.filter(|(_, sighting)| sighting.last.is_some_and(|(heard, _)| heard >= controller_since));
        let heard_since = steady.map(|(_, sighting)| sighting.steady_since).min();
        self.grace_end(heard_since.map_or(controller_since, |since| since.min(controller_since)))
    }

    /// Looks at every broker, and at when to look again.
    fn sweep(&mut self, now: Monotonic, image: &Image) -> Vec<Effect> {
        let Some(since) = self.controller_since else { return Vec::new() };
        self.due = Monotonic::NEVER;
        let ids: Vec<BrokerId> = self.brokers.keys().copied().collect();
        let effects = ids.into_iter().filter_map(|id| self.decide(id, now, image)).collect();
        for broker in image.brokers().filter(|broker| !broker.fenced) {
            let watched = self.brokers.get(&broker.id).filter(|sighting| sighting.asked.is_none());
            if let Some(sighting) = watched {
                let grace = self.grace_of(broker.id, since);
                self.due = self.due.min(sighting.session_end(since, grace, self.config));
            }
        }
        effects
    }

    /// Compares what is known of a broker with how the image has it.
    fn decide(&mut self, id: BrokerId, now: Monotonic, image: &Image) -> Option<Effect> {
        let since = self.controller_since?;
        let (config, grace) = (self.config, self.grace_of(id, since));
        let sighting = self.brokers.get_mut(&id)?;
        let broker = registered(image, id, sighting.epoch)?;
        let session_end = sighting.session_end(since, grace, config);
        let effect = match sighting.verdict(broker, session_end, now, config) {
            Verdict::Dead if !broker.fenced => {
                let announced = sighting.last.is_some_and(|(_, heartbeat)| heartbeat.wants_to_stop);
                Effect::Fence { broker: id, epoch: broker.epoch, announced }
            }
            Verdict::Alive if broker.fenced => Effect::Unfence { broker: id, epoch: broker.epoch },
            _ => {
                sighting.asked = None;
                return None;
            }
        };
        // A command that was lost with a leader is asked for again; one that only takes its time is not, or each
        // heartbeat meanwhile would be one more.
        let again = sighting.asked.map_or(now, |asked| asked + config.session);
        if now < again {
            self.due = self.due.min(again);
            return None;
        }
        sighting.asked = Some(now);
        self.due = self.due.min(now + config.session);
        Some(effect)
    }
}

enum Verdict {
    Alive,
    Dead,
    /// Neither: it stays as it is.
    Unclear,
}

impl Sighting {
    fn new(epoch: BrokerEpoch, now: Monotonic) -> Self {
        Self { epoch, noted: now, last: None, steady_since: now, dialled: None, gone: false, asked: None }
    }

    /// Until when its silence means nothing.
    fn session_end(
        &self,
        controller_since: Monotonic,
        grace: Monotonic,
        config: LivenessConfig,
    ) -> Monotonic {
        match self.last {
            Some((heard, _)) => (heard + config.session).max(grace),
            None => self.noted.max(controller_since) + config.session,
        }
    }

    fn verdict(
        &self,
        broker: &Broker,
        session_end: Monotonic,
        now: Monotonic,
        config: LivenessConfig,
    ) -> Verdict {
        if self.gone || now >= session_end {
            return Verdict::Dead;
        }
        let Some((heard, heartbeat)) = self.last else { return Verdict::Unclear };
        if heartbeat.oldest_flush_age.is_some_and(|age| age >= config.session) || !heartbeat.ready {
            return Verdict::Dead;
        }
        // A broker that does not know of its own registration cannot know what it may lead (Kafka's rule).
        let knows_itself = i64::try_from(heartbeat.image_version).is_ok_and(|v| v >= broker.epoch.get());
        if heartbeat.wants_to_stop || !knows_itself || now >= heard + config.session {
            return Verdict::Unclear;
        }
        Verdict::Alive
    }
}

/// The broker, if that is its registration.
fn registered(image: &Image, id: BrokerId, epoch: BrokerEpoch) -> Option<&Broker> {
    image.broker(id).map(|broker| &**broker).filter(|broker| broker.epoch == epoch)
}
