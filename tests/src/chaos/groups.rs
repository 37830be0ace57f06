//! Groups that read the topic while faults happen: of Kafka's own consumer and of librdkafka with the classic protocol, of librdkafka with the
//! consumer protocol, and of the Rust client over gRPC. Two members each. (Kafka's own consumer of 4.3 in the consumer protocol does not live
//! through this: a rebalance in its background thread may overtake its poll, which then throws "Cannot set a new position without a valid
//! current position".)
//!
//! What a member has read and not committed is read again after a fault, so doubles are no fault here, and a member that was cut off may tell of a
//! record late. What must hold in the end: every stored record was given to a member of each group, everything is
//! committed, and no commit that a member was told of has gone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::cluster::Cluster;
use crate::history::Stored;
use crate::interop::client::{Client, Protocol};
use crate::interop::member::{Event, Heard, Member, Membership};
use crate::{project, wait};

const MEMBERS: [&str; 2] = ["1", "2"];
/// Lines that wait for us. A member that nobody listens to stops.
const WAITING: usize = 1 << 16;
/// What members said last is kept for the story of a failure.
const LATELY: usize = 60;
/// A member that was cut off needs its session's time, and its client's back-off, to be back.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);

/// A group under way.
pub(super) struct Readers {
    name: &'static str,
    members: Vec<Member>,
    heard: Receiver<Heard>,
    given: BTreeSet<(i32, i64)>,
    /// The highest offsets that members were told are committed.
    committed: BTreeMap<i32, i64>,
    doubles: usize,
    /// What members said last beside their records, and when.
    lately: VecDeque<(Duration, String)>,
    began: Instant,
    /// What a member said that must not happen. It stays, however often somebody asks.
    failed: Option<String>,
}

impl Readers {
    /// Starts all; the Rust client's where there are API listeners.
    pub(super) fn start_all(
        kafka: &str,
        api: Option<&str>,
        topic: &str,
        scratch: &Path,
    ) -> anyhow::Result<Vec<Self>> {
        let start = |name, client: Client, protocol| {
            Self::start(name, &|| Ok(client.program()), protocol, kafka, topic, scratch)
        };
        let mut all = vec![
            start("java", Client::Java, Protocol::Cooperative)?,
            start("librdkafka", Client::ConfluentKafka, Protocol::Consumer)?,
            start("librdkafka-classic", Client::ConfluentKafka, Protocol::Cooperative)?,
        ];
        if let Some(api) = api {
            let rust = || Ok(Command::new(project::example("group_member")?));
            all.push(Self::start("rust", &rust, Protocol::Consumer, api, topic, scratch)?);
        }
        Ok(all)
    }

    fn start(
        name: &'static str,
        program: &dyn Fn() -> anyhow::Result<Command>,
        protocol: Protocol,
        bootstrap: &str,
        topic: &str,
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let (sender, heard) = sync_channel(WAITING);
        let membership = Membership { bootstrap, group: name, topic, protocol };
        let start = |member: &&str| {
            let member = format!("{name}-{member}");
            Member::start_program(program()?, &membership, &member, scratch, &sender)
        };
        let members = MEMBERS.iter().map(start).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            name,
            members,
            heard,
            given: BTreeSet::new(),
            committed: BTreeMap::new(),
            doubles: 0,
            lately: VecDeque::new(),
            began: Instant::now(),
            failed: None,
        })
    }

    /// Takes in what members said since the last time. An error: one failed, or ended.
    pub(super) fn listen(&mut self) -> anyhow::Result<()> {
        while let Ok((member, event)) = self.heard.try_recv() {
            let event = event.unwrap_or_else(|error| Event::Failed { error });
            self.remember(&member, &event);
            match event {
                Event::Record { partition, offset } => {
                    self.doubles += usize::from(!self.given.insert((partition, offset)));
                }
                Event::Committed { offsets } => {
                    for (partition, offset) in offsets {
                        let known = self.committed.entry(partition).or_default();
                        *known = offset.max(*known);
                    }
                }
                Event::Failed { error } => {
                    self.failed.get_or_insert_with(|| format!("{member} failed: {error}"));
                }
                Event::Assigned { .. }
                | Event::Revoked { .. }
                | Event::Disconnected { .. }
                | Event::Retried { .. }
                | Event::Closed => {}
            }
        }
        ensure!(self.failed.is_none(), "{}", self.failed.as_deref().unwrap_or_default());
        for member in &mut self.members {
            let ended = member.ended()?;
            ensure!(ended.is_none(), "{} ended, {ended:?}: {}", member.name, member.last_words());
        }
        Ok(())
    }

    /// For the story of a failure.
    fn remember(&mut self, member: &str, event: &Event) {
        if !matches!(event, Event::Record { .. } | Event::Committed { .. }) {
            self.lately.push_back((self.began.elapsed(), format!("{member}: {event:?}")));
            if self.lately.len() > LATELY {
                self.lately.pop_front();
            }
        }
    }

    /// What is missing, the whole of it in short, and what members said last.
    fn account_of(&self, places: &BTreeSet<(i32, i64)>) -> String {
        let mut missing: BTreeMap<i32, (usize, i64, i64)> = BTreeMap::new();
        for (partition, offset) in places.difference(&self.given) {
            let (count, _, last) = missing.entry(*partition).or_insert((0, *offset, *offset));
            *count += 1;
            *last = *offset;
        }
        let mut account = String::new();
        for (partition, (count, first, last)) in missing {
            let given = self.given.range((partition, 0)..=(partition, i64::MAX)).next_back();
            let _ = writeln!(
                account,
                "partition {partition}: {count} records from {first} to {last} were given to none of its members; the last that was \
                 given is {given:?}, the last commit told of is {:?}",
                self.committed.get(&partition)
            );
        }
        for (when, said) in &self.lately {
            let _ = writeln!(account, "{:>7.1} s  {said}", when.as_secs_f64());
        }
        let _ = write!(account, "now it is {:.1} s", self.began.elapsed().as_secs_f64());
        account
    }

    /// Waits until the group has everything that is stored, and has committed it; how many records it was given twice.
    pub(super) fn finish(mut self, cluster: &Cluster, topic: &str, stored: &Stored) -> anyhow::Result<usize> {
        let places = stored
            .0
            .iter()
            .flat_map(|(partition, values)| values.iter().map(move |(offset, _)| (*partition, *offset)));
        let places: BTreeSet<(i32, i64)> = places.collect();
        let partitions = i32::try_from(stored.0.len())?;
        let ends = stored
            .0
            .iter()
            .map(|(partition, values)| (*partition, values.last().map_or(0, |(last, _)| last + 1)));
        let ends: BTreeMap<i32, i64> = ends.collect();
        let group = self.name;
        wait::until(&format!("the group {group} to have read all"), CAUGHT_UP_WITHIN, || {
            self.listen()?;
            ensure!(places.is_subset(&self.given), "{}", self.account_of(&places));
            Ok(Some(()))
        })?;
        let foreign = self.given.difference(&places).next();
        ensure!(
            foreign.is_none(),
            "{group} was given partition and offset {foreign:?}, which are not stored"
        );
        wait::until(&format!("the group {group} to have committed all"), CAUGHT_UP_WITHIN, || {
            self.listen()?;
            let coordinator = cluster.broker(cluster.coordinator(group));
            let kept = coordinator.connect().committed(group, topic, partitions)?;
            for (partition, told) in &self.committed {
                let kept = kept.get(partition).copied().unwrap_or(-1);
                ensure!(kept >= *told, "partition {partition}: {told} was committed, the broker says {kept}");
            }
            ensure!(kept == ends, "committed {kept:?}, the ends are {ends:?}");
            Ok(Some(()))
        })?;
        Ok(self.doubles)
    }
}
