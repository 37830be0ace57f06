//! The network: one link for each direction between two sites. A connection keeps its order; a new connection may
//! overtake what is still on its way in an old one. A message that is lost takes its connection with it, as with TCP.

use super::queue::Micros;
use crate::rng::Rng;

/// Where something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// A broker's machine, by its place among the brokers.
    Broker(usize),
    /// All clients: they share their links, each to one broker.
    Clients,
}

/// One direction between two sites.
#[derive(Clone, Debug, Default)]
struct Link {
    cut: bool,
    /// What a message takes longer than usual.
    slow: Micros,
    /// When the last message of the connection arrives.
    last_arrival: Micros,
}

/// What a network is like, faults aside.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest time of a message.
    pub delay: Micros,
    /// What is added at random, at most.
    pub jitter: Micros,
    /// Of so many messages one is lost, with its connection; 0 for none.
    pub lose_one_in: u64,
    /// Of so many messages one arrives twice, as when a client asks again on another connection; 0 for none.
    pub double_one_in: u64,
}

/// All links.
#[derive(Debug)]
pub struct Network {
    brokers: usize,
    links: Vec<Link>,
    weather: Weather,
}

impl Network {
    /// Everybody reaches everybody.
    pub fn new(brokers: usize, weather: Weather) -> Self {
        let sites = brokers + 1;
        Self { brokers, links: vec![Link::default(); sites * sites], weather }
    }

    /// When a message arrives, once or twice; never, if it is lost.
    pub fn send(&mut self, from: Site, to: Site, now: Micros, rng: &mut Rng) -> [Option<Micros>; 2] {
        if from == to {
            return [Some(now + LOCAL), None];
        }
        let Weather { delay, jitter, lose_one_in, double_one_in } = self.weather;
        let Some(link) = self.link(from, to) else { return [None, None] };
        if link.cut {
            return [None, None];
        }
        if lose_one_in > 0 && rng.chance(1, lose_one_in) {
            link.last_arrival = 0;
            return [None, None];
        }
        let arrival = (now + delay + link.slow + rng.below(jitter + 1)).max(link.last_arrival);
        link.last_arrival = arrival;
        let twice = double_one_in > 0 && rng.chance(1, double_one_in);
        let later = arrival + rng.below(MUCH_LATER);
        [Some(arrival), twice.then_some(later)]
    }

    /// Ends the connections between two sites: what is on its way still arrives, what comes next may overtake it.
    pub fn reset(&mut self, a: Site, b: Site) {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(link) = self.link(from, to) {
                link.last_arrival = 0;
            }
        }
    }

    /// Cuts or frees one direction.
    pub fn set_cut(&mut self, from: Site, to: Site, cut: bool) {
        if let Some(link) = self.link(from, to) {
            link.cut = cut;
            link.last_arrival = 0;
        }
    }

    /// Makes one direction slow, or as fast as it was with 0.
    pub fn set_slow(&mut self, from: Site, to: Site, slow: Micros) {
        if let Some(link) = self.link(from, to) {
            link.slow = slow;
        }
    }

    /// True if messages pass from one site to another.
    pub fn passes(&self, from: Site, to: Site) -> bool {
        from == to || self.links.get(self.number(from, to)).is_some_and(|link| !link.cut)
    }

    /// True if two sites can talk to each other.
    pub fn connects(&self, a: Site, b: Site) -> bool {
        self.passes(a, b) && self.passes(b, a)
    }

    /// Everything is as it was at the beginning, and nothing is lost any more.
    pub fn heal(&mut self) {
        for link in &mut self.links {
            (link.cut, link.slow) = (false, 0);
        }
        (self.weather.lose_one_in, self.weather.double_one_in) = (0, 0);
    }

    fn number(&self, from: Site, to: Site) -> usize {
        self.index(from) * (self.brokers + 1) + self.index(to)
    }

    const fn index(&self, site: Site) -> usize {
        match site {
            Site::Broker(number) => number,
            Site::Clients => self.brokers,
        }
    }

    fn link(&mut self, from: Site, to: Site) -> Option<&mut Link> {
        let number = self.number(from, to);
        self.links.get_mut(number)
    }
}

/// What a message takes that stays on its machine.
const LOCAL: Micros = 20;
/// The second arrival of a message comes at most so much after the first.
const MUCH_LATER: Micros = 3_000_000;
