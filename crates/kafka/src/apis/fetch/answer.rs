//! A fetch's answer under construction.

use ottla_node::TopicKey;
use ottla_node::storage::ReadSlice;
use ottla_record::Uuid;
use ottla_wire::frame::write_response;
use ottla_wire::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use ottla_wire::{ErrorCode, Records, Writer};

use crate::dispatch::Call;
use crate::fetch_session::Topic;
use crate::leaders::Leaders;
use crate::outbox::Frame;
use crate::reply::Refusal;

/// The answer, and the file ranges that go into its holes.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) response: FetchResponse,
    ranges: Vec<ReadSlice>,
}

impl Answer {
    /// Adds a partition.
    pub(super) fn push(&mut self, topic: &Topic, mut data: PartitionData, slice: Option<ReadSlice>) {
        if let Some(slice) = slice {
            let len = u32::try_from(slice.len).unwrap_or(u32::MAX);
            let key = u32::try_from(self.ranges.len()).unwrap_or(u32::MAX);
            data.records = Some(Records::Hole { key, len });
            self.ranges.push(slice);
        }
        self.topic(topic).partitions.push(data);
    }

    /// The entry of a topic: the last one, as long as the partitions of a topic follow each other.
    fn topic(&mut self, topic: &Topic) -> &mut FetchableTopicResponse {
        let (name, id) = match topic {
            Topic::Name(name) => (&**name, Uuid::ZERO),
            Topic::Id(id) => ("", id.0),
        };
        let entries = &mut self.response.responses;
        let is_last = entries.last().is_some_and(|last| last.topic == name && last.topic_id == id);
        if !is_last {
            let entry = FetchableTopicResponse { topic: name.to_owned(), topic_id: id, ..Default::default() };
            entries.push(entry);
        }
        let last = entries.len() - 1;
        #[allow(clippy::indexing_slicing, reason = "an entry was pushed if there was none")]
        &mut entries[last]
    }

    pub(super) fn encode(self, call: &Call) -> Result<Frame, Refusal> {
        let mut message = Writer::new();
        write_response(&mut message, call.api, call.version, call.correlation_id, &self.response)
            .map_err(Refusal::Unencodable)?;
        Ok(Frame { message, ranges: self.ranges })
    }
}

/// What is said of a partition of which there is nothing to say.
pub(super) fn nothing(index: i32) -> PartitionData {
    PartitionData {
        partition_index: index,
        records: Some(Records::EMPTY),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        preferred_read_replica: -1,
        ..Default::default()
    }
}

/// The answer can say who leads instead from this version on.
const NODE_ENDPOINTS_FROM: i16 = 16;

/// True if the client is to be told who leads (KIP-951).
pub(super) fn wants_leader(call: &Call, error: ErrorCode) -> bool {
    call.version >= NODE_ENDPOINTS_FROM
        && matches!(error, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH)
}

/// Says who leads instead.
pub(super) fn note_leader(leaders: &mut Leaders<'_>, data: &mut PartitionData, topic: TopicKey<'_>) {
    if let Some((leader, epoch)) = leaders.of(topic, data.partition_index) {
        data.current_leader = LeaderIdAndEpoch { leader_id: leader.get(), leader_epoch: epoch.get() };
    }
}
