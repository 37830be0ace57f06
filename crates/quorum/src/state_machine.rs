//! The image as openraft's state machine: applies commands in order and publishes what comes of it.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, StorageIOError,
};
use ottla_coordination::metadata::Image;
use tokio::sync::watch;

use crate::error::QuorumError;
use crate::raft::{Applied, Entry, LogId, Member, SnapshotMeta, StorageError, StoredMembership, Types};
use crate::snapshot::Snapshots;

/// The state after some entry of the log.
#[derive(Clone)]
struct State {
    image: Arc<Image>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// The state machine of one node.
pub(crate) struct StateMachine {
    state: State,
    snapshots: Snapshots,
    images: watch::Sender<Arc<Image>>,
}

impl StateMachine {
    /// Starts from the newest snapshot; the log brings the rest.
    pub(crate) fn open(snapshots: Snapshots) -> Result<Self, QuorumError> {
        let state = match snapshots.newest()? {
            Some(loaded) => State {
                image: Arc::new(loaded.image),
                applied: loaded.meta.last_log_id,
                membership: loaded.meta.last_membership,
            },
            None => State {
                image: Arc::new(Image::empty()),
                applied: None,
                membership: StoredMembership::default(),
            },
        };
        let images = watch::Sender::new(Arc::clone(&state.image));
        Ok(Self { state, snapshots, images })
    }

    /// The image after each batch of commands.
    pub(crate) fn images(&self) -> watch::Receiver<Arc<Image>> {
        self.images.subscribe()
    }

    /// How many snapshots this process has written.
    pub(crate) fn snapshots_written(&self) -> Arc<AtomicU64> {
        self.snapshots.written()
    }

    /// The last entry that the snapshot held.
    pub(crate) fn applied(&self) -> Option<LogId> {
        self.state.applied
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.state.applied, self.state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut image = Image::clone(&self.state.image);
        let mut responses = Vec::new();
        for entry in entries {
            self.state.applied = Some(entry.log_id);
            responses.push(Applied(match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Normal(command) => Some(image.apply(&command)),
                EntryPayload::Membership(membership) => {
                    self.state.membership = StoredMembership::new(Some(entry.log_id), membership);
                    None
                }
            }));
        }
        // Published before the answers go out: whoever has an answer sees what it speaks of.
        if image.version() != self.state.image.version() {
            self.state.image = Arc::new(image);
            self.images.send_replace(Arc::clone(&self.state.image));
        }
        Ok(responses)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { state: self.state.clone(), snapshots: self.snapshots.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let (snapshots, stored) = (self.snapshots.clone(), meta.clone());
        let image = blocking(ErrorVerb::Write, move || {
            let bytes = snapshot.into_inner();
            let image = Image::decode(&bytes).map_err(|e| AnyError::new(&e))?;
            snapshots.write(&stored, &bytes).map_err(|e| AnyError::new(&e))?;
            Ok(image)
        })
        .await?;
        self.state = State {
            image: Arc::new(image),
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        self.images.send_replace(Arc::clone(&self.state.image));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let snapshots = self.snapshots.clone();
        let newest =
            blocking(ErrorVerb::Read, move || snapshots.newest().map_err(|e| AnyError::new(&e))).await?;
        Ok(newest.map(|loaded| Snapshot { meta: loaded.meta, snapshot: Box::new(Cursor::new(loaded.bytes)) }))
    }
}

/// Writes one snapshot while the state machine goes on: the image is an immutable value.
pub(crate) struct SnapshotBuilder {
    state: State,
    snapshots: Snapshots,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let (state, snapshots) = (self.state.clone(), self.snapshots.clone());
        blocking(ErrorVerb::Write, move || {
            let (index, term) = state.applied.map_or((0, 0), |l| (l.index, l.leader_id.term));
            let meta = openraft::SnapshotMeta::<_, Member> {
                last_log_id: state.applied,
                last_membership: state.membership,
                snapshot_id: format!("{index}-{term}"),
            };
            let bytes = state.image.encode().map_err(|e| AnyError::new(&e))?;
            snapshots.write(&meta, &bytes).map_err(|e| AnyError::new(&e))?;
            Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    verb: ErrorVerb,
    run: impl FnOnce() -> Result<T, AnyError> + Send + 'static,
) -> Result<T, StorageError> {
    let result = match tokio::task::spawn_blocking(run).await {
        Ok(result) => result,
        Err(e) => Err(AnyError::new(&e)),
    };
    result.map_err(|e| StorageIOError::new(ErrorSubject::Snapshot(None), verb, e).into())
}
