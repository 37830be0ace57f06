//! What the APIs of groups have in common: from the wire's spelling to the coordinator's, and back.

use ottla_node::coordination::group::GroupError;
use ottla_node::coordination::group::request::{ClientFacts, TopicRef};
use ottla_record::{PartitionIndex, TopicId, Uuid};
use ottla_wire::ErrorCode;

use crate::dispatch::Call;
use crate::errors;

/// Who asks. Java writes an address with a slash before it where it has no name, and tools show it as it comes.
pub(crate) fn client_facts(call: &Call) -> ClientFacts {
    let host = format!("/{}", call.peer.address.ip().to_canonical());
    ClientFacts { client_id: call.client_id.as_deref().unwrap_or_default().into(), host: host.into() }
}

/// A text that may be absent, as versions write it that know no null.
pub(crate) fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// A topic as the version names it: by its id from some version on, by its name before.
pub(crate) fn topic_ref(name: String, id: Uuid, by_id: bool) -> TopicRef {
    if by_id { TopicRef::Id(TopicId(id)) } else { TopicRef::Name(name.into()) }
}

/// The two fields in which an answer names a topic.
pub(crate) fn topic_fields(topic: TopicRef) -> (String, Uuid) {
    match topic {
        TopicRef::Name(name) => (name.as_ref().to_owned(), Uuid::ZERO),
        TopicRef::Id(id) => (String::new(), id.0),
    }
}

pub(crate) fn indexes(raw: Vec<i32>) -> Vec<PartitionIndex> {
    raw.into_iter().map(PartitionIndex::new).collect()
}

/// The code of one partition's outcome.
pub(crate) fn outcome(result: Result<(), GroupError>) -> ErrorCode {
    result.map_or_else(|error| errors::group(&error), |()| ErrorCode::NONE)
}
