//! Links that are far: what is sent over one is taken out of the kernel here, kept for a while, and put back at the other end.
//!
//! The namespace of each broker has a TUN device beside its link to the bridge. A route sends there what goes over a far link, and what is
//! read from the device is written to the receiver's when its time has come. All other links stay in the kernel.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The device's name in each namespace.
pub(super) const DEVICE: &str = "far0";
const MTU: u16 = 1_500;
/// In an IPv4 header: the last byte of the receiver's address, which is a broker's id.
const RECEIVER: usize = 19;

/// How long what one broker sends to another takes.
type Delays = Arc<Mutex<BTreeMap<(i32, i32), Duration>>>;
/// A packet, and when it is to arrive.
type Letter = (Instant, Vec<u8>);

/// What carries packets from device to device. Its threads end when the devices are deleted.
#[derive(Debug)]
pub(super) struct Relay {
    delays: Delays,
}

impl Relay {
    /// Between brokers, each with its namespace.
    pub(super) fn start(namespaces: &[(i32, String)]) -> anyhow::Result<Self> {
        let delays = Delays::default();
        let open = |(id, namespace): &(i32, String)| Ok((*id, Arc::new(open(namespace)?)));
        let devices: BTreeMap<i32, Arc<SyncDevice>> =
            namespaces.iter().map(open).collect::<anyhow::Result<_>>()?;
        for (from, device) in &devices {
            let others = devices.iter().filter(|(to, _)| *to != from);
            let lanes = others.map(|(to, device)| (*to, lane(Arc::clone(device)))).collect();
            let (from, device, delays) = (*from, Arc::clone(device), Arc::clone(&delays));
            thread::spawn(move || take(from, &device, &lanes, &delays));
        }
        Ok(Self { delays })
    }

    /// From now on what `from` sends to `to` takes so long, if it comes here.
    pub(super) fn set(&self, from: i32, to: i32, delay: Duration) {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).insert((from, to), delay);
    }
}

/// Runs something in a network namespace, on a thread of its own: a socket that it opens stays there.
pub(super) fn inside<T: Send + 'static>(
    namespace: &str,
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let path = format!("/run/netns/{namespace}");
    let thread = thread::spawn(move || {
        let namespace = File::open(path)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        run()
    });
    let outcome = thread.join().ok().context("a thread in a namespace panicked")?;
    outcome.with_context(|| format!("in namespace {namespace}"))
}

fn open(namespace: &str) -> anyhow::Result<SyncDevice> {
    inside(namespace, || {
        // What arrives here may be answered over the bridge.
        fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0")?;
        fs::write("/proc/sys/net/ipv4/conf/default/rp_filter", "0")?;
        DeviceBuilder::new().name(DEVICE).mtu(MTU).build_sync()
    })
}

/// Hands what a broker sends to the lane of its receiver.
fn take(from: i32, device: &SyncDevice, lanes: &BTreeMap<i32, Sender<Letter>>, delays: &Delays) {
    let mut packet = [0; MTU as usize];
    while let Ok(len) = device.recv(&mut packet) {
        let packet = packet.get(..len).unwrap_or_default();
        let is_ipv4 = packet.first().is_some_and(|first| first >> 4 == 4);
        let receiver = packet.get(RECEIVER).filter(|_| is_ipv4).map(|byte| i32::from(*byte));
        let Some((to, lane)) = receiver.and_then(|to| Some((to, lanes.get(&to)?))) else { continue };
        let delays = delays.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = delays.get(&(from, to)).copied().unwrap_or_default();
        let _its_end = lane.send((Instant::now() + delay, packet.to_vec()));
    }
}

/// Delivers to a device, in order, everything at its time.
fn lane(device: Arc<SyncDevice>) -> Sender<Letter> {
    let (lane, letters) = mpsc::channel::<Letter>();
    thread::spawn(move || {
        for (due, packet) in letters {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // A device that takes no more drops it, as networks do.
            let _dropped = device.send(&packet);
        }
    });
    lane
}
