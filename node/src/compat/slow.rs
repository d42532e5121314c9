//! How long whoever guesses passwords waits.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use pacmesh_protocol::machine::Instant;

/// So many mistakes are nothing: people mistype.
const FREE: u32 = 3;
/// The first wait; each further mistake doubles it.
const FIRST: Duration = Duration::from_millis(500);
/// The longest: below the 30 s after which clients give up.
const LONGEST: Duration = Duration::from_secs(16);
/// After so long without a mistake everything is forgotten.
const FORGIVEN: Duration = Duration::from_secs(900);
/// Most addresses that are remembered.
const REMEMBERED: usize = 4096;

/// Mistakes by address.
#[derive(Debug, Default)]
pub struct Mistakes {
    by: BTreeMap<IpAddr, (u32, Instant)>,
}

impl Mistakes {
    /// How long a try from `address` waits before it is looked at.
    pub fn wait(&self, address: IpAddr, now: Instant) -> Duration {
        match self.by.get(&network(address)) {
            Some((count, last)) if now.since(*last) < FORGIVEN && *count >= FREE => {
                let doubled = 1_u32.checked_shl(count - FREE).unwrap_or(u32::MAX);
                FIRST.saturating_mul(doubled).min(LONGEST)
            }
            _ => Duration::ZERO,
        }
    }

    /// A wrong password from `address`.
    pub fn wrong(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        if self.by.len() >= REMEMBERED {
            self.by.retain(|_, (_, last)| now.since(*last) < FORGIVEN);
        }
        if self.by.len() >= REMEMBERED && !self.by.contains_key(&address) {
            let oldest = self
                .by
                .iter()
                .min_by_key(|(_, (_, last))| *last)
                .map(|(oldest, _)| *oldest);
            oldest.map(|oldest| self.by.remove(&oldest));
        }
        let (count, last) = self.by.entry(address).or_insert((0, now));
        if now.since(*last) >= FORGIVEN {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
    }

    /// A right one.
    pub fn right(&mut self, address: IpAddr) {
        self.by.remove(&network(address));
    }
}

/// Whoever has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::at(Duration::from_secs(seconds))
    }

    #[test]
    fn inv5_guesses_of_one_address_are_slowed_and_others_are_not() {
        let mut mistakes = Mistakes::default();
        let (guesser, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let waits: Vec<_> = (0..12)
            .map(|_| {
                let wait = mistakes.wait(guesser, at(1));
                mistakes.wrong(guesser, at(1));
                wait
            })
            .collect();
        assert_eq!(waits[..3], [Duration::ZERO; 3]);
        assert!(
            waits[3..].is_sorted() && waits[3] == FIRST && waits[11] == LONGEST,
            "{waits:?}"
        );
        assert_eq!(mistakes.wait(other, at(1)), Duration::ZERO);
        assert_eq!(mistakes.wait(guesser, at(1) + FORGIVEN), Duration::ZERO);
        mistakes.right(guesser);
        assert_eq!(mistakes.wait(guesser, at(1)), Duration::ZERO);
    }

    #[test]
    fn inv5_a_network_of_addresses_is_one_and_memory_is_bounded() {
        let mut mistakes = Mistakes::default();
        for last in 0..8_u16 {
            mistakes.wrong(
                std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into(),
                at(1),
            );
        }
        let neighbour = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 9, 9, 9, 9);
        assert!(mistakes.wait(neighbour.into(), at(1)) > Duration::ZERO);
        for n in 0..REMEMBERED as u32 + 100 {
            mistakes.wrong(std::net::Ipv4Addr::from_bits(n).into(), at(2));
        }
        assert!(mistakes.by.len() <= REMEMBERED);
    }
}
