//! Incremental fetch sessions (KIP-227): the broker remembers what a client reads, the client sends only changes.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_node::TopicKey;
use ottla_record::{TopicId, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use parking_lot::Mutex;

/// A session that was used within this time keeps its place in a full cache (Kafka's `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const KEPT_AT_LEAST: Duration = Duration::from_secs(120);

/// Partitions one session remembers at most; a fetch with more works without a session.
const MAX_PARTITIONS: usize = 100_000;

/// Epoch of a request that closes its session, and of one that wants none.
const FINAL_EPOCH: i32 = -1;
/// Epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;

/// A topic as the client named it: by name before version 13, by id from then on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Name(Arc<str>),
    Id(TopicId),
}

impl Topic {
    pub(crate) fn key(&self) -> TopicKey<'_> {
        match self {
            Self::Name(name) => TopicKey::Name(name),
            Self::Id(id) => TopicKey::Id(*id),
        }
    }
}

/// What a client wants of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: i32,
}

/// What the client was last told of a partition; it is told again only when this changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
}

/// How a fetch relates to a session.
#[derive(Debug)]
pub(crate) enum Fetch {
    /// Everything asked for, everything answered.
    Full { wants: Vec<Want>, session: Option<Arc<SessionHandle>> },
    /// What the session remembers, and only what changed.
    Incremental { wants: Vec<Want>, session: Arc<SessionHandle> },
}

/// One session, shared by the cache and the request that is being answered.
#[derive(Debug)]
pub(crate) struct SessionHandle {
    pub(crate) id: i32,
    session: Mutex<Session>,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must carry.
    next_epoch: i32,
    last_used: Instant,
    partitions: Vec<(Want, Option<Told>)>,
}

/// All sessions of this broker, in bounded number.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots: usize,
    sessions: Mutex<BTreeMap<i32, Arc<SessionHandle>>>,
    ids: RandomState,
}

impl FetchSessions {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, sessions: Mutex::default(), ids: RandomState::new() }
    }

    /// Finds, opens or closes the request's session.
    pub(crate) fn resolve(&self, request: FetchRequest, version: i16) -> Result<Fetch, ErrorCode> {
        let by_id = version >= 13;
        let sessions_exist = version >= 7;
        if !sessions_exist || request.session_epoch == FINAL_EPOCH {
            if request.session_id != 0 {
                self.sessions.lock().remove(&request.session_id);
            }
            return Ok(Fetch::Full { wants: wants(request.topics, by_id), session: None });
        }
        if request.session_epoch == INITIAL_EPOCH {
            if request.session_id != 0 {
                self.sessions.lock().remove(&request.session_id);
            }
            let wants = wants(request.topics, by_id);
            let session = self.open(&wants);
            return Ok(Fetch::Full { wants, session });
        }
        let found = self.sessions.lock().get(&request.session_id).cloned();
        let handle = found.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        let mut session = handle.session.lock();
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.partitions.first().is_some_and(|(want, _)| matches!(want.topic, Topic::Id(_)) != by_id) {
            // The client was upgraded or downgraded in the middle of a session (KIP-516).
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.next_epoch = session.next_epoch.checked_add(1).unwrap_or(1);
        session.last_used = Instant::now();
        for forgotten in request.forgotten_topics_data {
            let topic = topic(forgotten.topic, forgotten.topic_id, by_id);
            session
                .partitions
                .retain(|(want, _)| want.topic != topic || !forgotten.partitions.contains(&want.partition));
        }
        session.update(wants(request.topics, by_id));
        if session.partitions.len() > MAX_PARTITIONS {
            drop(session);
            self.sessions.lock().remove(&handle.id);
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        let wants = session.partitions.iter().map(|(want, _)| want.clone()).collect();
        drop(session);
        Ok(Fetch::Incremental { wants, session: handle })
    }

    /// Opens a session if there is a place, or one that has not been used for long.
    fn open(&self, wants: &[Want]) -> Option<Arc<SessionHandle>> {
        if wants.is_empty() || wants.len() > MAX_PARTITIONS || self.slots == 0 {
            return None;
        }
        let now = Instant::now();
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.slots {
            let oldest =
                sessions.values().map(|handle| (handle.session.lock().last_used, handle.id)).min()?;
            if now.duration_since(oldest.0) < KEPT_AT_LEAST {
                return None;
            }
            sessions.remove(&oldest.1);
        }
        let mut salt = sessions.len() as u64;
        let id = loop {
            // Hard to guess, so that one client does not stumble into another's session.
            let id = (self.ids.hash_one((now, salt)) >> 33) as i32;
            if id != 0 && !sessions.contains_key(&id) {
                break id;
            }
            salt += 1;
        };
        let partitions = wants.iter().map(|want| (want.clone(), None)).collect();
        let session = Session { next_epoch: 1, last_used: now, partitions };
        let handle = Arc::new(SessionHandle { id, session: Mutex::new(session) });
        sessions.insert(id, Arc::clone(&handle));
        Some(handle)
    }
}

impl Session {
    /// Takes over changed partitions and adds new ones.
    fn update(&mut self, wants: Vec<Want>) {
        if wants.is_empty() {
            return;
        }
        let mut places: BTreeMap<(Topic, i32), usize> = self
            .partitions
            .iter()
            .enumerate()
            .map(|(at, (want, _))| ((want.topic.clone(), want.partition), at))
            .collect();
        for want in wants {
            match places
                .get(&(want.topic.clone(), want.partition))
                .and_then(|at| self.partitions.get_mut(*at))
            {
                Some((known, _)) => *known = want,
                None => {
                    places.insert((want.topic.clone(), want.partition), self.partitions.len());
                    self.partitions.push((want, None));
                }
            }
        }
    }
}

impl SessionHandle {
    /// Notes what each partition is told now, and says which must be in the answer: those with something new.
    ///
    /// `answers` gives, per partition of the request in order, what it has to say and whether that has records or an error.
    /// Partitions with records move to the end, so that in a small answer every partition gets its turn.
    pub(crate) fn tell(&self, answers: &[(Want, Told, bool)]) -> Vec<bool> {
        let mut session = self.session.lock();
        let mut places: BTreeMap<(Topic, i32), usize> = session
            .partitions
            .iter()
            .enumerate()
            .map(|(at, (want, _))| ((want.topic.clone(), want.partition), at))
            .collect();
        let mut served = Vec::new();
        let new = answers
            .iter()
            .map(|(want, told, must)| {
                let at = places.remove(&(want.topic.clone(), want.partition));
                let Some((_, known)) = at.and_then(|at| session.partitions.get_mut(at)) else { return true };
                let changed = *known != Some(*told);
                *known = Some(*told);
                if *must {
                    served.extend(at);
                }
                *must || changed
            })
            .collect();
        if !served.is_empty() && served.len() < session.partitions.len() {
            served.sort_unstable();
            let mut at = 0;
            let (moved, kept): (Vec<_>, Vec<_>) =
                std::mem::take(&mut session.partitions).into_iter().partition(|_| {
                    at += 1;
                    served.binary_search(&(at - 1)).is_ok()
                });
            session.partitions = kept;
            session.partitions.extend(moved);
        }
        new
    }
}

fn wants(topics: Vec<FetchTopic>, by_id: bool) -> Vec<Want> {
    let mut wants = Vec::with_capacity(topics.iter().map(|topic| topic.partitions.len()).sum());
    for fetch in topics {
        let topic = topic(fetch.topic, fetch.topic_id, by_id);
        wants.extend(fetch.partitions.into_iter().map(|partition| want(topic.clone(), &partition)));
    }
    wants
}

fn want(topic: Topic, partition: &FetchPartition) -> Want {
    Want {
        topic,
        partition: partition.partition,
        offset: partition.fetch_offset,
        max_bytes: partition.partition_max_bytes,
        current_leader_epoch: partition.current_leader_epoch,
    }
}

fn topic(name: String, id: Uuid, by_id: bool) -> Topic {
    if by_id { Topic::Id(TopicId(id)) } else { Topic::Name(name.into()) }
}

#[cfg(test)]
mod tests;
