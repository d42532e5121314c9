//! What strangers may cost: how many handshakes are open and how often one address may begin one.
//!
//! A handshake is let in, made to prove its address first, or not answered at all. Everything kept here is bounded.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Most handshakes that are open at once; a member's handshake takes two round trips.
const OPEN: usize = 64;
/// Most open handshakes of one address, so that one stranger leaves room for others.
const OPEN_PER_ADDRESS: usize = 24;
/// From so many open handshakes on, an address must be proved (RFC 9000, 8.1.2).
const PROOF_FROM: usize = 32;
/// Handshakes that one address may begin at once, and per second after that. Many nodes may share an address.
const BURST: f64 = 64.0;
const PER_SECOND: f64 = 32.0;
/// Most addresses that are remembered.
const ADDRESSES: usize = 4096;
/// Most open joins (FORMATS, "Numbers").
const KNOCKS: usize = 8;
/// One knock per address in this time (FORMATS, "Numbers").
const KNOCK_INTERVAL: Duration = Duration::from_secs(1);
/// A knock that would have to wait longer for its turn is turned away.
const KNOCK_WAIT: Duration = Duration::from_secs(4);

/// What to do with a handshake that begins.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Let it in, for as long as the guard lives.
    In(Guest),
    /// Ask it to prove its address.
    Prove,
    /// Do not answer.
    Ignore,
}

/// The turn of a knock.
#[derive(Debug)]
pub(crate) enum Turn {
    /// After this time, for as long as the guard lives.
    After(Duration, Guest),
    /// Too many; another time.
    Busy,
}

/// Counts what is open. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    open: usize,
    knocks: usize,
    addresses: BTreeMap<IpAddr, Visits>,
}

#[derive(Debug)]
struct Visits {
    open: usize,
    tokens: f64,
    counted: Instant,
    next_knock: Instant,
}

/// Gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    door: Door,
    address: IpAddr,
    knocks: bool,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        if self.knocks {
            state.knocks -= 1;
            return;
        }
        state.open -= 1;
        if let Some(visits) = state.addresses.get_mut(&self.address) {
            visits.open -= 1;
        }
    }
}

impl Door {
    /// Judges a handshake that begins `now` from `address`.
    pub(crate) fn enter(&self, address: IpAddr, proved: bool, now: Instant) -> Entry {
        let address = network(address);
        let mut state = self.lock();
        if state.open >= OPEN {
            return Entry::Ignore;
        }
        if state.open >= PROOF_FROM && !proved {
            return Entry::Prove;
        }
        let Some(visits) = state.visits(address, now) else {
            return Entry::Ignore;
        };
        if visits.open >= OPEN_PER_ADDRESS || visits.tokens < 1.0 {
            return Entry::Ignore;
        }
        visits.tokens -= 1.0;
        visits.open += 1;
        state.open += 1;
        Entry::In(Guest {
            door: self.clone(),
            address,
            knocks: false,
        })
    }

    /// Gives a knock its turn.
    pub(crate) fn knock(&self, address: IpAddr, now: Instant) -> Turn {
        let address = network(address);
        let mut state = self.lock();
        if state.knocks >= KNOCKS {
            return Turn::Busy;
        }
        let Some(visits) = state.visits(address, now) else {
            return Turn::Busy;
        };
        let wait = visits.next_knock.saturating_duration_since(now);
        if wait > KNOCK_WAIT {
            return Turn::Busy;
        }
        visits.next_knock = now + wait + KNOCK_INTERVAL;
        state.knocks += 1;
        Turn::After(
            wait,
            Guest {
                door: self.clone(),
                address,
                knocks: true,
            },
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters stay usable whatever panicked beside them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The account of an address, filled up to `now`; `None` if no more addresses can be remembered.
    fn visits(&mut self, address: IpAddr, now: Instant) -> Option<&mut Visits> {
        if !self.addresses.contains_key(&address) && self.addresses.len() >= ADDRESSES {
            self.addresses.retain(|_, visits| visits.matters(now));
            if self.addresses.len() >= ADDRESSES {
                return None;
            }
        }
        let visits = self.addresses.entry(address).or_insert(Visits {
            open: 0,
            tokens: BURST,
            counted: now,
            next_knock: now,
        });
        visits.tokens = visits.tokens_at(now);
        visits.counted = now;
        Some(visits)
    }
}

impl Visits {
    fn tokens_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        (self.tokens + passed * PER_SECOND).min(BURST)
    }

    /// Whether forgetting it would forgive something.
    fn matters(&self, now: Instant) -> bool {
        self.open > 0 || self.next_knock > now || self.tokens_at(now) < BURST
    }
}

/// What one owner of addresses can choose freely counts as one address: the /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn inv5_one_address_cannot_hold_all_handshakes() {
        let (door, now) = (Door::default(), Instant::now());
        let held: Vec<_> = std::iter::repeat_with(|| door.enter(address(1), true, now))
            .take(OPEN_PER_ADDRESS)
            .collect();
        assert!(held.iter().all(|entry| matches!(entry, Entry::In(_))));
        assert!(matches!(door.enter(address(1), true, now), Entry::Ignore));
        assert!(matches!(door.enter(address(2), true, now), Entry::In(_)));
        drop(held);
        assert!(matches!(door.enter(address(1), true, now), Entry::In(_)));
    }

    #[test]
    fn inv5_under_load_an_address_must_be_proved_and_the_total_is_bounded() {
        let (door, now) = (Door::default(), Instant::now());
        let mut held = Vec::new();
        for last in 0..u8::try_from(OPEN).unwrap() {
            if held.len() >= PROOF_FROM {
                assert!(matches!(door.enter(address(last), false, now), Entry::Prove));
            }
            held.push(door.enter(address(last), true, now));
        }
        assert!(matches!(door.enter(address(200), true, now), Entry::Ignore));
    }

    #[test]
    fn inv5_an_address_that_begins_too_often_is_ignored_until_time_passed() {
        let (door, now) = (Door::default(), Instant::now());
        while matches!(door.enter(address(1), true, now), Entry::In(_)) {}
        assert!(matches!(door.enter(address(1), true, now), Entry::Ignore));
        let later = now + Duration::from_secs(1);
        assert!(matches!(door.enter(address(1), true, later), Entry::In(_)));
    }

    #[test]
    fn inv5_knocks_of_one_address_take_turns_and_eight_are_open() {
        let (door, now) = (Door::default(), Instant::now());
        let Turn::After(first, _one) = door.knock(address(1), now) else {
            panic!("turned away")
        };
        let Turn::After(second, _two) = door.knock(address(1), now) else {
            panic!("turned away")
        };
        assert_eq!((first, second), (Duration::ZERO, KNOCK_INTERVAL));
        let more: Vec<_> = (2..8).map(|last| door.knock(address(last), now)).collect();
        assert!(more.iter().all(|turn| matches!(turn, Turn::After(..))));
        assert!(matches!(door.knock(address(9), now), Turn::Busy));
    }

    #[test]
    fn inv5_remembered_addresses_are_bounded() {
        let (door, now) = (Door::default(), Instant::now());
        for number in 0..u32::try_from(2 * ADDRESSES).unwrap() {
            drop(door.enter(IpAddr::from(number.to_be_bytes()), true, now));
        }
        assert!(door.lock().addresses.len() <= ADDRESSES);
    }
}
