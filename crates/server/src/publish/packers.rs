//! Large requests are packed beside the data path: compressing a few MiB takes longer than hundreds of requests wait.
//!
//! What is not moved is the decoding of protobuf, which tonic does where it reads. It copies nothing, so it is a matter of the
//! number of records, not of their bytes: ten megabytes in large records take a tenth of a millisecond, in records of a hundred bytes
//! hundreds of times as long (`cargo run --release -p ottla-rpc --example decode_cost`).

use std::sync::Arc;

use ottla_node::HostedTopic;
use ottla_rpc::{KafkaError, v1};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::errors::Failure;
use crate::publish::packing;

/// Bytes of records that are copied and checked where the request was read: half a millisecond's work at most. Another thread
/// costs some 20 µs.
const MAX_INLINE: usize = 256 << 10;
/// The same where they are compressed; gzip takes 30 MB a second.
const MAX_INLINE_COMPRESSED: usize = 16 << 10;

const _: () = assert!(MAX_INLINE_COMPRESSED <= MAX_INLINE);

/// The threads that do it. As many at once as there are cores: the threads are those of cold reads too, and those must
/// find one.
#[derive(Debug)]
pub(crate) struct Packers {
    places: Arc<Semaphore>,
}

impl Packers {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { places: Arc::new(Semaphore::new(cores)) }
    }

    /// Does it beside the data path, once there is a place. If the caller goes away meanwhile, what was begun is done to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let done = spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "records could not be packed");
            Failure::new(KafkaError::UNKNOWN_SERVER_ERROR, "the records could not be packed")
        })
    }
}

/// Whether a request is too much work for the thread that has read it.
pub(super) fn is_large(request: &v1::PublishRequest, topic: &HostedTopic) -> bool {
    // Batches are taken as they are, unless the topic wants them in another codec.
    let recompresses = topic.settings().produce.compression.is_some();
    let compresses = request.compression != v1::Compression::None as i32 && !request.records.is_empty();
    let max = if recompresses || compresses { MAX_INLINE_COMPRESSED } else { MAX_INLINE };
    let batches = if recompresses { request.batches.len() } else { 0 };
    let mut bytes = batches;
    batches > max
        || request.records.iter().any(|record| {
            bytes += packing::size_bound(record);
            bytes > max
        })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// One worker thread: what blocked it would wait for itself.
    #[tokio::test]
    async fn others_go_on_while_one_packs() {
        let packers = Arc::new(Packers::new());
        let (say, heard) = mpsc::channel();
        let packing = tokio::spawn({
            let packers = Arc::clone(&packers);
            async move { packers.run(move || heard.recv_timeout(Duration::from_secs(30))).await }
        });
        tokio::task::yield_now().await;
        say.send("done").unwrap();
        assert_eq!(packing.await.unwrap().unwrap(), Ok("done"));
    }

    #[tokio::test]
    async fn as_many_pack_at_once_as_there_are_cores_and_one_that_fails_gives_its_place_back() {
        let packers = Packers::new();
        let cores = packers.places.available_permits();
        for _ in 0..=cores {
            let failure = packers.run(|| panic!("a defect")).await.unwrap_err();
            assert_eq!(failure.detail.kafka_error, "UNKNOWN_SERVER_ERROR");
        }
        assert_eq!(packers.places.available_permits(), cores);
    }
}
