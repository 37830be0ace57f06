//! How fast moves are copied (KIP-73): set before a move, taken away after it.
//!
//! A throttle is four configs, Kafka's: on the topics that move, which replicas send and which receive; on all brokers, how many
//! bytes a second each sends and fetches for those. They stay until somebody removes them: a replica that falls behind later would be
//! throttled too.

use std::collections::{BTreeMap, BTreeSet};

use ottla_client::{Admin, ConfigChanges, ConfigResource, TopicInfo};

use crate::failure::Failure;
use crate::online::failed;

const LEADERS: &str = "leader.replication.throttled.replicas";
const FOLLOWERS: &str = "follower.replication.throttled.replicas";
const RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];

/// A partition and where it shall be.
pub(super) struct Target<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) to: &'a [i32],
}

/// What is to be throttled: for each topic the replicas that send and those that receive, each `partition:broker`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Throttled(BTreeMap<String, [BTreeSet<String>; 2]>);

impl Throttled {
    /// A partition that goes from some brokers to others. Any of those that have it may come to lead it meanwhile.
    fn add(&mut self, topic: &str, partition: i32, from: &[i32], to: &[i32]) {
        let arriving: Vec<i32> = to.iter().copied().filter(|broker| !from.contains(broker)).collect();
        if arriving.is_empty() {
            return;
        }
        let replica = |broker: &i32| format!("{partition}:{broker}");
        let [leaders, followers] = self.0.entry(topic.to_owned()).or_default();
        leaders.extend(from.iter().map(replica));
        followers.extend(arriving.iter().map(replica));
    }
}

/// A list with what stands in it already; `*` names everything.
fn merged(before: Option<&String>, wanted: &BTreeSet<String>) -> String {
    if before.is_some_and(|before| before == "*") {
        return "*".to_owned();
    }
    let before = before.into_iter().flat_map(|list| list.split(',')).map(str::trim).filter(|r| !r.is_empty());
    let all: BTreeSet<&str> = before.chain(wanted.iter().map(String::as_str)).collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

/// Throttles what moves to these targets, at this many bytes a second for each broker. False if nothing is to be copied.
pub(super) async fn set(admin: &Admin, targets: &[Target<'_>], rate: u64) -> Result<bool, Failure> {
    let topics: BTreeSet<&str> = targets.iter().map(|target| target.topic).collect();
    let mut known: BTreeMap<&str, TopicInfo> = BTreeMap::new();
    for topic in topics {
        let described = admin.describe_topic(topic).await;
        known.insert(topic, described.map_err(|error| failed(format_args!("cannot read {topic}"), &error))?);
    }
    let mut throttled = Throttled::default();
    for Target { topic, partition, to } in targets {
        let found =
            known.get(topic).and_then(|info| info.partitions.iter().find(|p| p.partition == *partition));
        // One that is not there is refused by the move itself.
        if let Some(found) = found {
            throttled.add(topic, *partition, &found.replicas, to);
        }
    }
    for (topic, [leaders, followers]) in &throttled.0 {
        let configs = known.get(topic.as_str()).map(|info| &info.configs);
        let before = |key: &str| configs.and_then(|configs| configs.get(key));
        let changes = ConfigChanges::new()
            .set(LEADERS, merged(before(LEADERS), leaders))
            .set(FOLLOWERS, merged(before(FOLLOWERS), followers));
        alter(admin, ConfigResource::Topic(topic.clone()), changes, topic).await?;
    }
    if throttled.0.is_empty() {
        return Ok(false);
    }
    let changes = RATES.iter().fold(ConfigChanges::new(), |changes, key| changes.set(*key, rate.to_string()));
    alter(admin, ConfigResource::AllBrokers, changes, "all brokers").await?;
    Ok(true)
}

/// Takes the throttles of all topics away, and the rates that hold for all brokers.
pub(super) async fn remove(admin: &Admin) -> Result<(), Failure> {
    let listed = admin.list_all_topics().await.map_err(|error| failed("cannot list the topics", &error))?;
    for topic in listed {
        let name = topic.name;
        let described = admin.describe_topic(&name).await;
        let info = described.map_err(|error| failed(format_args!("cannot read {name}"), &error))?;
        let set = [LEADERS, FOLLOWERS].into_iter().filter(|key| info.configs.contains_key(*key));
        let (changes, count) =
            set.fold((ConfigChanges::new(), 0), |(changes, n), key| (changes.remove(key), n + 1));
        if count > 0 {
            alter(admin, ConfigResource::Topic(name.clone()), changes, &name).await?;
        }
    }
    let changes = RATES.iter().fold(ConfigChanges::new(), |changes, key| changes.remove(*key));
    alter(admin, ConfigResource::AllBrokers, changes, "all brokers").await
}

async fn alter(
    admin: &Admin,
    of: ConfigResource,
    changes: ConfigChanges,
    name: impl std::fmt::Display,
) -> Result<(), Failure> {
    let altered = admin.alter_configs(&of, changes).await;
    altered.map_err(|error| failed(format_args!("cannot change the throttle of {name}"), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_have_it_send_and_those_that_get_it_receive() {
        let mut throttled = Throttled::default();
        throttled.add("t", 0, &[1, 2], &[2, 3]);
        throttled.add("t", 1, &[1], &[4]);
        // Only the order changes: nothing is copied.
        throttled.add("same", 0, &[1, 2], &[2, 1]);
        let set = |list: &[&str]| list.iter().map(|&replica| replica.to_owned()).collect::<BTreeSet<_>>();
        let topics = [("t".to_owned(), [set(&["0:1", "0:2", "1:1"]), set(&["0:3", "1:4"])])];
        assert_eq!(throttled, Throttled(topics.into()));
    }

    #[test]
    fn a_list_keeps_what_stood_in_it() {
        let wanted = BTreeSet::from(["1:2".to_owned(), "1:3".to_owned()]);
        let merged = |before: Option<&str>| merged(before.map(str::to_owned).as_ref(), &wanted);
        assert_eq!(merged(None), "1:2,1:3");
        assert_eq!(merged(Some("")), "1:2,1:3");
        assert_eq!(merged(Some("0:1, 1:2")), "0:1,1:2,1:3");
        assert_eq!(merged(Some("*")), "*");
    }
}
