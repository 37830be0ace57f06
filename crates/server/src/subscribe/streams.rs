//! One stream a member: the newest one.
//!
//! A client whose stream breaks off comes back under the id it had, often before this broker has noticed that the old stream is dead.
//! Two streams of one member would take the coordinator's news from each other: an assignment is told once, and the one that
//! nobody reads may be the one that hears it. So the old stream ends, without leaving, before the new one asks anything.

use std::collections::HashMap;
use std::sync::Arc;

use ottla_node::coordination::group::{GroupId, MemberId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// A member of a group.
type Key = (GroupId, MemberId);

/// The streams that play members here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<Key, Arc<Stream>>>>);

#[derive(Debug, Default)]
struct Stream {
    superseded: CancellationToken,
    ended: CancellationToken,
}

/// The right to play a member, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    streams: Streams,
    key: Key,
    stream: Arc<Stream>,
}

impl Streams {
    /// Plays a member from now on: waits until the stream that did so before has ended.
    pub(super) async fn take(&self, group: GroupId, member: MemberId) -> Turn {
        let stream = Arc::<Stream>::default();
        let key = (group, member);
        let former = self.0.lock().insert(key.clone(), Arc::clone(&stream));
        let turn = Turn { streams: self.clone(), key, stream };
        if let Some(former) = former {
            former.superseded.cancel();
            former.ended.cancelled().await;
        }
        turn
    }
}

impl Turn {
    /// Cancelled when a newer stream wants to play the member.
    pub(super) fn superseded(&self) -> &CancellationToken {
        &self.stream.superseded
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut streams = self.streams.0.lock();
        if streams.get(&self.key).is_some_and(|newest| Arc::ptr_eq(newest, &self.stream)) {
            streams.remove(&self.key);
        }
        self.stream.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        (GroupId::from_wire("g").unwrap(), MemberId::new("m".to_owned()))
    }

    #[tokio::test]
    async fn the_newest_stream_waits_for_the_end_of_the_one_before() {
        let streams = Streams::default();
        let (group, member) = key();
        let first = streams.take(group.clone(), member.clone()).await;
        assert!(!first.superseded().is_cancelled());
        let second = tokio::spawn({
            let streams = streams.clone();
            async move { streams.take(group, member).await }
        });
        first.superseded().cancelled().await;
        assert!(!second.is_finished(), "the first one has not ended");
        drop(first);
        let second = second.await.unwrap();
        assert!(!second.superseded().is_cancelled());
        assert_eq!(streams.0.lock().len(), 1, "the end of the first one is not the second one's");
        drop(second);
        assert!(streams.0.lock().is_empty());
    }
}
