//! One connection that stands for all brokers of a cluster: it asks whoever is responsible, and again as long as an answer is one to ask
//! again after, as clients do.
//!
//! What it produces has a producer's id and sequence numbers, so that a batch whose answer was lost is not there twice.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Connection, Reader, Writer, created, error};
use crate::batch::seal;
use crate::cluster::{View, coordinator};
use crate::wait;

/// A leader that stops has another one well within this, on a busy machine with JVMs too.
const WITHIN: Duration = Duration::from_secs(30);

/// Where a batch has its producer's id, and behind it the epoch and the first sequence number.
const PRODUCER_AT: usize = 43;

/// Who answers for what.
#[derive(Debug)]
pub(super) struct Responsible {
    addresses: Vec<String>,
    /// By address.
    open: BTreeMap<String, Connection>,
    /// The leaders' addresses, as far as they were right when they were asked last.
    leaders: BTreeMap<(String, i32), String>,
    /// Id and epoch, once something was produced.
    producer: Option<(i64, i16)>,
    /// The next sequence number of each partition.
    sequences: BTreeMap<(String, i32), i32>,
}

impl Responsible {
    pub(super) fn new(addresses: &[String]) -> Self {
        Self {
            addresses: addresses.to_vec(),
            open: BTreeMap::new(),
            leaders: BTreeMap::new(),
            producer: None,
            sequences: BTreeMap::new(),
        }
    }

    /// The first answer of any broker.
    fn any<T>(&self, ask: impl Fn(&str) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut last = anyhow::anyhow!("there is no broker");
        for address in &self.addresses {
            match ask(address) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks a partition's leader.
    pub(super) fn leader<T>(
        &mut self,
        topic: &str,
        partition: i32,
        mut ask: impl FnMut(&mut Connection) -> anyhow::Result<(i16, T)>,
    ) -> anyhow::Result<(i16, T)> {
        let place = (topic.to_owned(), partition);
        wait::until(&format!("the leader of {topic}-{partition} to answer"), WITHIN, || {
            let address = match self.leaders.get(&place) {
                Some(address) => address.clone(),
                None => self.any(|address| leader_of(address, topic, partition))?,
            };
            let answer = self.ask(&address, &mut ask);
            let Ok((code, _)) = &answer else {
                self.leaders.remove(&place);
                return answer.map(Some);
            };
            if error::RETRIABLE.contains(code) || error::NOT_ACKNOWLEDGED.contains(code) {
                self.leaders.remove(&place);
                anyhow::bail!("error {code} from {address}");
            }
            self.leaders.insert(place.clone(), address);
            answer.map(Some)
        })
    }

    fn ask<T>(
        &mut self,
        address: &str,
        ask: impl FnOnce(&mut Connection) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut connection = match self.open.remove(address) {
            Some(connection) => connection,
            None => Connection::open(address)?,
        };
        // One that broke off is not kept.
        let answer = ask(&mut connection)?;
        self.open.insert(address.to_owned(), connection);
        Ok(answer)
    }

    /// Asks a group's coordinator, again as long as it has no answer.
    pub(super) fn coordinator<T>(
        &mut self,
        group: &str,
        mut ask: impl FnMut(&mut Connection) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        wait::until(&format!("the coordinator of {group} to answer"), WITHIN, || {
            let address = self.any(|address| {
                let id = coordinator(address, group)?;
                View::ask(address, None)?.brokers.remove(&id).context("the coordinator is live")
            })?;
            self.ask(&address, &mut ask)
        })
    }

    /// Creates a topic with as many replicas as there are by default, and waits until each partition is led.
    pub(super) fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let mut unknown = false;
        wait::until(&format!("{topic} to be created"), WITHIN, || {
            let mut connection = self.any(Connection::open)?;
            // Whoever breaks off, or is too slow, may have done it.
            let answer = connection.call_create_topic(topic, partitions, configs);
            let answer = answer.inspect_err(|_| unknown = true)?;
            for (name, code, message) in created(&answer)? {
                let is_done = code == error::NONE || unknown && code == error::TOPIC_ALREADY_EXISTS;
                unknown |= error::NOT_ACKNOWLEDGED.contains(&code);
                ensure!(is_done, "creating {name:?}: error {code} {message:?}");
            }
            Ok(Some(()))
        })?;
        (0..partitions).try_for_each(|partition| {
            let (code, _) =
                self.leader(topic, partition, |leader| leader.list_offset(topic, partition, -1))?;
            ensure!(code == error::NONE, "ListOffsets of {topic}-{partition}: error {code}");
            Ok(())
        })
    }

    /// Produces one batch, once.
    pub(super) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        acks: i16,
        batch: &[u8],
    ) -> anyhow::Result<(i16, i64)> {
        let (id, epoch) = match self.producer {
            Some(producer) => producer,
            None => *self.producer.insert(wait::until("a producer's id", WITHIN, || {
                self.any(|address| Connection::open(address)?.init_producer()).map(Some)
            })?),
        };
        let place = (topic.to_owned(), partition);
        let sequence = self.sequences.get(&place).copied().unwrap_or(0);
        let mut batch = batch.to_vec();
        let stamp = Writer::default().i64(id).i16(epoch).i32(sequence).0;
        let records = Reader(&batch[PRODUCER_AT + stamp.len()..]).i32()?;
        batch[PRODUCER_AT..PRODUCER_AT + stamp.len()].copy_from_slice(&stamp);
        seal(&mut batch);
        let answer =
            self.leader(topic, partition, |leader| leader.produce(topic, partition, acks, &batch))?;
        if answer.0 == error::NONE {
            self.sequences.insert(place, sequence + records);
        }
        Ok(answer)
    }
}

/// The address of a partition's leader, as a broker has it.
fn leader_of(address: &str, topic: &str, partition: i32) -> anyhow::Result<String> {
    let view = View::ask(address, Some(topic))?;
    let found = view.partitions.iter().find(|found| found.index == partition);
    let leader =
        found.and_then(|found| found.leader).with_context(|| format!("{topic}-{partition} is led"))?;
    view.brokers.get(&leader).cloned().context("the leader is live")
}
