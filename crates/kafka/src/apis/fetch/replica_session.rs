//! What a follower's connection remembers between fetches (KIP-227): the follower sends what changed, the leader answers what is new.
//!
//! A session belongs to a connection and ends with it. The leader's partitions are told again what the follower has when that changed, and
//! otherwise as often as [`REMINDED_AFTER`] says: a follower that has everything goes on having it.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_node::ports::ReplicaFetchError;
use ottla_node::{ForReplica, ReplicaFetchItem};
use ottla_record::{LeaderEpoch, Monotonic, Offset, TopicId};
use ottla_wire::ErrorCode;
use ottla_wire::messages::fetch_request::{FetchPartition, FetchRequest};

use crate::fetch_session::{Told, Topic};

/// Far below the time after which a follower counts as lagging, and a leader as deserted.
const REMINDED_AFTER: Duration = Duration::from_millis(200);

/// Partitions of one session at most; with more a follower gets everything each time.
const MAX_PARTITIONS: usize = 100_000;

/// From this version on topics have ids instead of names (KIP-516).
const TOPIC_IDS_FROM: i16 = 13;

/// No session is wanted.
const NO_SESSION: i32 = -1;

/// What one follower fetches from this broker.
#[derive(Debug)]
pub(crate) struct ReplicaSession {
    /// 0 if the follower wanted none: then it lasts for one fetch.
    id: i32,
    next_epoch: i32,
    /// The request did not name everything, and the answer need not either.
    incremental: bool,
    wants: Vec<Want>,
    places: BTreeMap<(Topic, i32), usize>,
    /// Who comes first in the next answer: an answer is bounded, and those at its end may go short.
    first: usize,
}

#[derive(Debug)]
struct Want {
    topic: Topic,
    asked: FetchPartition,
    told: Option<Told>,
    /// Until then the partition need not be told again what the follower has.
    known_until: Option<Monotonic>,
}

impl ReplicaSession {
    /// The session that a request opens or goes on with; `kept` is what the connection remembers.
    pub(super) fn resolve(
        kept: Option<Self>,
        request: FetchRequest,
        version: i16,
        new_id: i32,
    ) -> Result<Self, ErrorCode> {
        if request.session_epoch <= 0 {
            return Ok(Self::open(request, version, new_id));
        }
        let mut session =
            kept.filter(|kept| kept.id == request.session_id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        session.next_epoch = session.next_epoch.checked_add(1).unwrap_or(1);
        session.incremental = true;
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (Topic::Id(TopicId(topic.topic_id)), *partition))
        });
        session.forget(forgotten.collect());
        for (topic, asked) in wanted(request, version) {
            session.want(topic, asked);
        }
        if session.wants.len() > MAX_PARTITIONS {
            Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)
        } else {
            Ok(session)
        }
    }

    fn open(request: FetchRequest, version: i16, new_id: i32) -> Self {
        let wants_one = request.session_epoch != NO_SESSION && version >= TOPIC_IDS_FROM;
        let mut session = Self {
            id: 0,
            next_epoch: 1,
            incremental: false,
            wants: Vec::new(),
            places: BTreeMap::new(),
            first: 0,
        };
        for (topic, asked) in wanted(request, version) {
            session.wants.push(Want { topic, asked, told: None, known_until: None });
        }
        if wants_one && session.wants.len() <= MAX_PARTITIONS {
            session.id = new_id.max(1);
            session.number();
        }
        session
    }

    fn number(&mut self) {
        let keys = self.wants.iter().map(|want| (want.topic.clone(), want.asked.partition));
        self.places = keys.zip(0..).collect();
        self.first = 0;
    }

    fn forget(&mut self, forgotten: Vec<(Topic, i32)>) {
        if forgotten.is_empty() {
            return;
        }
        let gone: Vec<usize> = forgotten.iter().filter_map(|key| self.places.get(key).copied()).collect();
        let mut at = 0;
        self.wants.retain(|_| {
            at += 1;
            !gone.contains(&(at - 1))
        });
        self.number();
    }

    fn want(&mut self, topic: Topic, asked: FetchPartition) {
        let key = (topic, asked.partition);
        match self.places.get(&key).and_then(|at| self.wants.get_mut(*at)) {
            Some(want) => (want.asked, want.known_until) = (asked, None),
            None => {
                let want = Want { topic: key.0.clone(), asked, told: None, known_until: None };
                self.places.insert(key, self.wants.len());
                self.wants.push(want);
            }
        }
    }

    /// Of the session that the next request may name; 0 for none.
    pub(super) fn id(&self) -> i32 {
        self.id
    }

    /// In the order of the answer.
    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, len) = (self.first.min(self.wants.len()), self.wants.len());
        (first..len).chain(0..first)
    }

    /// What to look for now.
    pub(super) fn items(&self, now: Monotonic) -> Vec<ReplicaFetchItem<'_>> {
        let item = |at: usize| {
            let want = self.wants.get(at)?;
            let asked = &want.asked;
            Some(ReplicaFetchItem {
                topic: want.topic.key(),
                partition: asked.partition,
                leader_epoch: LeaderEpoch::from_wire(asked.current_leader_epoch),
                offset: asked.fetch_offset,
                last_epoch: LeaderEpoch::from_wire(asked.last_fetched_epoch),
                log_start: asked.log_start_offset,
                high_watermark: Some(asked.high_watermark)
                    .filter(|known| *known != i64::MAX)
                    .and_then(Offset::from_wire),
                max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
                known: want.known_until.is_some_and(|until| now < until),
            })
        };
        self.order().filter_map(item).collect()
    }

    /// Takes note of what came of the [items](Self::items) that were looked for at `asked_at`, and gives those that the follower is to be told of.
    pub(super) fn tell(
        &mut self,
        outcomes: Vec<Result<ForReplica, ReplicaFetchError>>,
        asked_at: Monotonic,
    ) -> Vec<(Topic, i32, Result<ForReplica, ReplicaFetchError>)> {
        let mut news = Vec::new();
        let mut last_served = None;
        for (at, outcome) in self.order().zip(outcomes) {
            let Some(want) = self.wants.get_mut(at) else { continue };
            let told = match &outcome {
                Ok(ForReplica::Records { high_watermark, log_start, .. }) => {
                    Some(Told { high_watermark: high_watermark.get(), log_start: log_start.get() })
                }
                Ok(_) | Err(_) => None,
            };
            let has_records = matches!(&outcome, Ok(ForReplica::Records { slice: Some(_), .. }));
            let is_new = !self.incremental || has_records || told.is_none() || want.told != told;
            want.told = told;
            match (told, want.known_until) {
                // It was told a moment ago already.
                (Some(_), Some(until)) if asked_at < until => {}
                (Some(_), _) => want.known_until = Some(asked_at + REMINDED_AFTER),
                (None, _) => want.known_until = None,
            }
            if has_records {
                last_served = Some(at);
            }
            if is_new {
                news.push((want.topic.clone(), want.asked.partition, outcome));
            }
        }
        if let Some(at) = last_served.filter(|_| self.id != 0) {
            self.first = (at + 1) % self.wants.len().max(1);
        }
        news
    }
}

fn wanted(request: FetchRequest, version: i16) -> impl Iterator<Item = (Topic, FetchPartition)> {
    request.topics.into_iter().flat_map(move |topic| {
        let key = match version {
            TOPIC_IDS_FROM.. => Topic::Id(TopicId(topic.topic_id)),
            _ => Topic::Name(topic.topic.as_str().into()),
        };
        topic.partitions.into_iter().map(move |partition| (key.clone(), partition))
    })
}

#[cfg(test)]
mod tests;
