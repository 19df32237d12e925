//! Counts the open connections of each client.
//!
//! Each connection has a seat. Seats are limited in total and for each client. An IPv6 client
//! could use many /64 networks, so the networks of one site (/48) share another limit. A
//! connection beyond a limit gets a seat in the reserve. When the reserve is full, the client
//! with the most seats in it loses the oldest of them: there is always room for one more, and one
//! client cannot take the room of another.

use super::networks::{Networks, client, masked, plain};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Seats in the reserve.
pub const RESERVE: usize = 64;
/// Limit for the networks of one IPv6 site together, as a multiple of the limit per client.
const SITE: usize = 4;
/// Minimum interval between log lines about a reached limit.
const SAID: Duration = Duration::from_secs(10);

/// How many connections may be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All clients together, without the reserve.
    pub total: usize,
    /// One client.
    pub per_client: usize,
    /// Proxies. They carry the connections of many clients, so only the total limits them.
    pub proxies: Networks,
}

/// Counts connections. Each listener has one gate.
pub struct Gate {
    /// The name of the listener in the log.
    name: &'static str,
    limits: Limits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: usize,
    by_client: HashMap<(IpAddr, u8), usize>,
    /// In the order of arrival.
    reserved: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    serial: u64,
    refused: u64,
    said: Option<Instant>,
}

/// The place of a connection in the counts, until it is dropped.
pub struct Seat {
    gate: Arc<Gate>,
    peer: IpAddr,
    leave: Arc<Notify>,
    place: Mutex<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Counted in the total and for the client.
    Client,
    /// Counted in the total.
    Proxy,
    /// Counted in the reserve, under this number.
    Reserved(u64),
    /// A connection of this installation itself; not counted.
    Own,
}

impl Gate {
    /// A gate for the listener with this name.
    pub fn new(name: &'static str, limits: Limits) -> Arc<Self> {
        Arc::new(Self { name, limits, table: Mutex::default() })
    }

    /// Returns a seat for a connection from this address. Never fails.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Seat {
        let mut table = self.lock();
        let proxy = self.limits.proxies.contain(peer);
        let shares = shares(peer, &self.limits);
        let fits = |(key, most): &((IpAddr, u8), usize)| table.by_client.get(key).is_none_or(|n| n < most);
        let (full, crowded) = (table.open >= self.limits.total, !proxy && !shares.iter().all(fits));
        if full || crowded {
            table.refused += 1;
            if table.said.is_none_or(|said| said.elapsed() >= SAID) {
                let which = if full { "total" } else { "per client" };
                tracing::warn!(
                    listener = self.name,
                    limit = which,
                    connections = table.open,
                    refused = table.refused,
                    "connection limit reached; further connections are served from the reserve only"
                );
                (table.said, table.refused) = (Some(Instant::now()), 0);
            }
            let (number, leave) = table.reserve(peer);
            return self.seat(peer, leave, Place::Reserved(number));
        }
        table.open += 1;
        if !proxy {
            for (key, _) in shares {
                *table.by_client.entry(key).or_default() += 1;
            }
        }
        self.seat(peer, Arc::default(), if proxy { Place::Proxy } else { Place::Client })
    }

    /// Returns a seat in the reserve, whatever the limits say.
    pub fn reserve(self: &Arc<Self>, peer: IpAddr) -> Seat {
        let (number, leave) = self.lock().reserve(peer);
        self.seat(peer, leave, Place::Reserved(number))
    }

    /// Evicts the oldest connection of the reserve.
    pub(super) fn evict(&self) {
        if let Some((_, (_, leave))) = self.lock().reserved.pop_first() {
            leave.notify_one();
        }
    }

    /// Number of open connections, without those in the reserve.
    pub fn open(&self) -> usize {
        self.lock().open
    }

    fn seat(self: &Arc<Self>, peer: IpAddr, leave: Arc<Notify>, place: Place) -> Seat {
        Seat { gate: self.clone(), peer, leave, place: Mutex::new(place) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn reserve(&mut self, peer: IpAddr) -> (u64, Arc<Notify>) {
        let peer = client(peer);
        if self.reserved.len() >= RESERVE {
            let mut seats: HashMap<IpAddr, usize> = HashMap::from([(peer, 1)]);
            for (client, _) in self.reserved.values() {
                *seats.entry(*client).or_default() += 1;
            }
            // The oldest seat of the client with the most seats.
            let most = self.reserved.values().map(|(client, _)| seats[client]).max();
            let victim = self.reserved.iter().find(|(_, (client, _))| Some(seats[client]) == most);
            if let Some(number) = victim.map(|(number, _)| *number)
                && let Some((_, leave)) = self.reserved.remove(&number)
            {
                leave.notify_one();
            }
        }
        self.serial += 1;
        let leave = Arc::new(Notify::new());
        self.reserved.insert(self.serial, (peer, leave.clone()));
        (self.serial, leave)
    }

    fn leave(&mut self, peer: IpAddr, place: Place) {
        match place {
            Place::Reserved(number) => drop(self.reserved.remove(&number)),
            Place::Client | Place::Proxy => self.open -= 1,
            Place::Own => {}
        }
        if place == Place::Client {
            for key in keys(peer) {
                if let Some(count) = self.by_client.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        self.by_client.remove(&key);
                    }
                }
            }
        }
    }
}

impl Seat {
    /// Whether the connection is over a limit. Then only requests that must always work are
    /// served.
    pub fn is_reserved(&self) -> bool {
        matches!(*self.place(), Place::Reserved(_))
    }

    /// Whether the peer is a proxy.
    pub fn is_proxy(&self) -> bool {
        self.gate.limits.proxies.contain(self.peer)
    }

    /// From now on the connection counts as one of this installation itself, to which no limit
    /// applies: its peer has proved that it has the installation's secret.
    pub fn own(&self) {
        let mut place = self.place();
        self.gate.lock().leave(self.peer, *place);
        *place = Place::Own;
    }

    /// Completes when the seat is needed for another connection.
    pub async fn evicted(&self) {
        loop {
            self.leave.notified().await;
            if self.is_reserved() {
                return;
            }
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let place = *self.place();
        self.gate.lock().leave(self.peer, place);
    }
}

/// The keys under which a connection from this address is counted: the IPv4 address, or the
/// IPv6 network and its site.
fn keys(peer: IpAddr) -> impl Iterator<Item = (IpAddr, u8)> {
    let peer = plain(peer);
    let (own, site) = match peer {
        IpAddr::V4(_) => ((peer, 32), None),
        IpAddr::V6(_) => ((client(peer), 64), Some((masked(peer, 48), 48))),
    };
    std::iter::once(own).chain(site)
}

/// The same keys, each with its limit.
fn shares(peer: IpAddr, limits: &Limits) -> Vec<((IpAddr, u8), usize)> {
    let each = limits.per_client;
    // A site usually has a single owner, who can open connections from all its networks.
    let site = each.saturating_mul(SITE).min((limits.total / 2).max(each));
    keys(peer).zip([each, site]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(total: usize, per_client: usize, proxies: &[&str]) -> Arc<Gate> {
        let proxies = Networks(proxies.iter().map(|text| text.parse().unwrap()).collect());
        Gate::new("test", Limits { total, per_client, proxies })
    }

    fn enter(gate: &Arc<Gate>, peer: &str) -> Seat {
        gate.enter(peer.parse().unwrap())
    }

    #[test]
    fn each_client_has_a_share_and_all_have_a_total() {
        let gate = gate(5, 2, &["192.0.2.9"]);
        let own: Vec<Seat> = (0..3).map(|_| enter(&gate, "192.0.2.1")).collect();
        assert_eq!(own.iter().map(Seat::is_reserved).collect::<Vec<_>>(), [false, false, true]);
        assert!(enter(&gate, "::ffff:192.0.2.1").is_reserved(), "the same address");
        let others: Vec<Seat> = (0..4).map(|_| enter(&gate, "192.0.2.9")).collect();
        let reserved: Vec<bool> = others.iter().map(Seat::is_reserved).collect();
        assert_eq!(reserved, [false, false, false, true], "a proxy may have what the total leaves");
        assert_eq!(gate.open(), 5);
        drop((own, others));
        assert_eq!(gate.open(), 0);
        assert!(gate.lock().by_client.is_empty() && gate.lock().reserved.is_empty());
    }

    #[test]
    fn a_site_of_ipv6_networks_has_a_limit() {
        let gate = gate(1000, 2, &[]);
        let seats: Vec<Seat> = (0..20).map(|n| enter(&gate, &format!("2001:db8:7:{n:x}::1"))).collect();
        assert_eq!(seats.iter().filter(|seat| !seat.is_reserved()).count(), 8);
        let same: Vec<Seat> = (0..3).map(|n| enter(&gate, &format!("2001:db8:8::{n:x}"))).collect();
        assert_eq!(same.iter().filter(|seat| !seat.is_reserved()).count(), 2);
    }

    #[test]
    fn a_site_of_ipv6_networks_leaves_half_to_others() {
        let gate = gate(20, 5, &[]);
        let seats: Vec<Seat> = (0..40).map(|n| enter(&gate, &format!("2001:db8:7:{n:x}::1"))).collect();
        assert_eq!(seats.iter().filter(|seat| !seat.is_reserved()).count(), 10);
        assert!(!enter(&gate, "2001:db8:8::1").is_reserved());
    }

    #[tokio::test]
    async fn the_reserve_takes_from_who_has_most() {
        let gate = gate(0, 0, &[]);
        let flood: Vec<Seat> = (0..RESERVE).map(|_| enter(&gate, "192.0.2.1")).collect();
        let probe = enter(&gate, "192.0.2.2");
        flood[0].evicted().await;
        let more: Vec<Seat> = (0..500).map(|_| enter(&gate, "192.0.2.1")).collect();
        flood[RESERVE - 1].evicted().await;
        assert_eq!(gate.lock().reserved.len(), RESERVE);
        assert!(probe.is_reserved());
        let stays = tokio::time::timeout(Duration::from_millis(50), probe.evicted()).await;
        assert!(stays.is_err(), "one client's flood ends another's connection");
        drop((flood, more, probe));
        assert!(gate.lock().reserved.is_empty());
    }

    #[tokio::test]
    async fn who_has_the_secret_counts_in_no_limit() {
        let gate = gate(1, 1, &[]);
        let (first, second) = (enter(&gate, "192.0.2.1"), enter(&gate, "192.0.2.1"));
        first.own();
        second.own();
        first.own();
        assert!(!second.is_reserved() && gate.open() == 0 && gate.lock().reserved.is_empty());
        assert!(!enter(&gate, "192.0.2.1").is_reserved());
        drop((first, second));
        assert_eq!(gate.open(), 0);
    }
}
