//! A network of its own for a cluster: a namespace and an address for each broker on one bridge, whose links can be cut one way,
//! throttled and delayed.
//!
//! A cut is silent, like a dead cable: the sender is told a hardware address that nobody has, so what it sends goes nowhere and no
//! socket hears of it, while the other direction works. Only `ip`, `tc` and `nsenter` are needed, and root; delays need `/dev/net/tun`.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};

mod far;
#[cfg(test)]
mod tests;

use far::Relay;

/// The hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:de:ad";
/// A link that is not throttled.
const FULL_RATE: &str = "10gbit";

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A broker, by its id.
    Broker(i32),
    /// The clients, who live outside.
    Clients,
}

/// The bridge, the namespaces and their links; gone when dropped.
#[derive(Debug)]
pub struct Network {
    /// Ours among those of other processes and of this one.
    mark: String,
    subnet: String,
    brokers: Vec<i32>,
    /// Of the far links; `None` where there are no TUN devices.
    relay: Option<Relay>,
}

impl Network {
    /// For these brokers. An error says what is missing: root, or iproute2.
    pub fn create(brokers: &[i32]) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        reap();
        let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Two processes that run beside each other differ in their ids, most likely in these digits too: `ip` says if not.
        let subnet = format!("10.{}.{}", 64 + pid / 251 % 128, (pid + number) % 251);
        let mark = format!("{pid}x{number}");
        let mut network = Self { mark, subnet, brokers: brokers.to_vec(), relay: None };
        let bridge = network.bridge();
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("address add {}/24 dev {bridge}", network.address(End::Clients)))?;
        ip(&format!("link set {bridge} up"))?;
        for broker in brokers {
            network.attach(*broker)?;
        }
        let namespaces: Vec<(i32, String)> =
            brokers.iter().map(|broker| (*broker, network.namespace(*broker))).collect();
        match Relay::start(&namespaces) {
            Ok(relay) => network.relay = Some(relay),
            Err(error) => eprintln!("links between brokers cannot be delayed here: {error:#}"),
        }
        Ok(network)
    }

    fn attach(&self, broker: i32) -> anyhow::Result<()> {
        let (namespace, bridge) = (self.namespace(broker), self.bridge());
        let outer = format!("ov{}b{broker}", self.mark);
        ip(&format!("netns add {namespace}"))?;
        ip(&format!("link add {outer} type veth peer name eth0 netns {namespace}"))?;
        ip(&format!("link set {outer} master {bridge} up"))?;
        ip(&format!("-n {namespace} address add {}/24 dev eth0", self.address(End::Broker(broker))))?;
        ip(&format!("-n {namespace} link set lo up"))?;
        ip(&format!("-n {namespace} link set eth0 up"))?;
        // Every peer has a class of its own, so that one link can be throttled.
        let tc = |words: &str| run("tc", &format!("-n {namespace} {words}"));
        tc("qdisc add dev eth0 root handle 1: htb default 0")?;
        for peer in self.ends().filter(|peer| *peer != End::Broker(broker)) {
            let class = class(peer);
            tc(&format!("class add dev eth0 parent 1: classid {class} htb rate {FULL_RATE} quantum 60000"))?;
            let address = self.address(peer);
            tc(&format!(
                "filter add dev eth0 parent 1: protocol ip u32 match ip dst {address} flowid {class}"
            ))?;
        }
        Ok(())
    }

    /// The address of an end.
    pub fn address(&self, end: End) -> String {
        match end {
            End::Broker(id) => format!("{}.{id}", self.subnet),
            End::Clients => format!("{}.254", self.subnet),
        }
    }

    /// The namespace a broker lives in.
    pub fn namespace(&self, broker: i32) -> String {
        format!("ottla-{}-{broker}", self.mark)
    }

    /// From now on nothing that `from` sends arrives at `to`, and neither is told.
    pub fn cut(&self, from: End, to: End) -> anyhow::Result<()> {
        let (prefix, device) = self.device(from);
        ip(&format!(
            "{prefix} neighbour replace {} lladdr {NOBODY} nud permanent dev {device}",
            self.address(to)
        ))
    }

    /// Ends a cut.
    pub fn join(&self, from: End, to: End) -> anyhow::Result<()> {
        let (prefix, device) = self.device(from);
        ip(&format!("{prefix} neighbour delete {} dev {device}", self.address(to)))
    }

    /// Cuts a broker from every other one, both ways; clients still reach it. With `heal`, joins them again.
    pub fn isolate(&self, broker: i32, heal: bool) -> anyhow::Result<()> {
        for peer in self.brokers.iter().filter(|peer| **peer != broker) {
            for (from, to) in [(broker, *peer), (*peer, broker)] {
                let (from, to) = (End::Broker(from), End::Broker(to));
                if heal { self.join(from, to)? } else { self.cut(from, to)? }
            }
        }
        Ok(())
    }

    /// What a broker sends to an end passes at this rate from now on, as `tc` writes one; what is too much waits, so this delays
    /// as well. `None` ends it.
    pub fn throttle(&self, from: i32, to: End, rate: Option<&str>) -> anyhow::Result<()> {
        let (namespace, class) = (self.namespace(from), class(to));
        let rate = rate.unwrap_or(FULL_RATE);
        run(
            "tc",
            &format!(
                "-n {namespace} class change dev eth0 parent 1: classid {class} htb rate {rate} quantum 60000"
            ),
        )
    }

    /// Whether links can be delayed here.
    pub fn can_delay(&self) -> bool {
        self.relay.is_some()
    }

    /// What one broker sends to another takes so much longer from now on. `None` ends it.
    pub fn delay(&self, from: i32, to: i32, by: Option<Duration>) -> anyhow::Result<()> {
        let relay = self.relay.as_ref().context("links cannot be delayed here")?;
        let (own, other) = (self.address(End::Broker(from)), self.address(End::Broker(to)));
        let route = format!("{other}/32 dev {} src {own}", far::DEVICE);
        let namespace = self.namespace(from);
        match by {
            Some(by) => {
                relay.set(from, to, by);
                ip(&format!("-n {namespace} route replace {route}"))
            }
            None => ip(&format!("-n {namespace} route delete {route}")),
        }
    }

    fn ends(&self) -> impl Iterator<Item = End> {
        self.brokers.iter().map(|id| End::Broker(*id)).chain([End::Clients])
    }

    fn bridge(&self) -> String {
        format!("ob{}", self.mark)
    }

    /// What `ip` needs to work on the side of an end, and its device there.
    fn device(&self, end: End) -> (String, String) {
        match end {
            End::Broker(id) => (format!("-n {}", self.namespace(id)), "eth0".to_owned()),
            End::Clients => (String::new(), self.bridge()),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for broker in &self.brokers {
            // First, for whoever reads from it: a namespace lives as long as something in it is open.
            let _ = ip(&format!("-n {} link delete {}", self.namespace(*broker), far::DEVICE));
            let _ = ip(&format!("netns delete {}", self.namespace(*broker)));
        }
        let _ = ip(&format!("link delete {}", self.bridge()));
    }
}

/// The class of what is sent to an end.
fn class(to: End) -> String {
    match to {
        End::Broker(id) => format!("1:{id}"),
        End::Clients => "1:254".to_owned(),
    }
}

/// Removes what processes left behind that were killed.
fn reap() {
    let left = |folder: &str, prefix: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.strip_prefix(prefix).is_some_and(is_left)).collect()
    };
    for namespace in left("/run/netns", "ottla-") {
        let _ = ip(&format!("netns delete {namespace}"));
    }
    for bridge in left("/sys/class/net", "ob") {
        let _ = ip(&format!("link delete {bridge}"));
    }
}

/// Whether a mark names a process that is no more.
fn is_left(mark: &str) -> bool {
    let owner = mark.split_once('x').and_then(|(pid, _)| pid.parse::<u32>().ok());
    owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

fn ip(words: &str) -> anyhow::Result<()> {
    run("ip", words)
}

fn run(program: &str, words: &str) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(words.split_whitespace());
    let output = command.output().with_context(|| format!("starting {program}"))?;
    ensure!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
