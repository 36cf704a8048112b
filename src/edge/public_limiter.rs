//! The bucket of a client address: for public paths and failed authentication.
//!
//! Invariants:
//!
//! - Memory is bounded: at most [`CLIENTS_MAX`] addresses are remembered. When
//!   one more comes, the one whose bucket is fullest is forgotten, so that an
//!   attacker who floods the table frees those who need it least.
//! - Only `CF-Connecting-IP` is believed; every other forwarding header is the
//!   caller's own word. A host of IPv6 has a whole /64 to itself, so that is what
//!   is counted.
//!
//! Kept in the isolate's memory: exact per isolate, not across the network. It
//! shields the Worker from noise; what protects an organization is its own bucket.

use std::net::IpAddr;

use crate::directory::timestamp::Timestamp;
use crate::organization::limiter::{Decision, Rate, Tat};

pub const CLIENTS_MAX: usize = 4_096;

/// Who is counted together: an IPv4 address, an IPv6 /64, or everyone whose
/// address is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    V4([u8; 4]),
    V6([u16; 4]),
    Unknown,
}

impl Client {
    pub fn of_header(connecting_ip: Option<&str>) -> Self {
        match connecting_ip.and_then(|text| text.trim().parse::<IpAddr>().ok()).map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
            None => Self::Unknown,
        }
    }
}

#[derive(Debug, Default)]
pub struct PublicLimiter {
    /// In the order of the clients. A new one moves others, some 100 KB at most.
    buckets: Vec<(Client, Tat)>,
}

impl PublicLimiter {
    pub fn take(&mut self, rate: Rate, client: Client, now: Timestamp) -> Decision {
        if let Ok(place) = self.find(client)
            && let Some((_, tat)) = self.buckets.get_mut(place)
        {
            return rate.take(tat, now.micros(), 1);
        }
        if self.buckets.len() >= CLIENTS_MAX {
            self.forget(rate, now);
        }
        let mut tat = Tat::default();
        let decision = rate.take(&mut tat, now.micros(), 1);
        let place = self.find(client).unwrap_or_else(|place| place);
        self.buckets.insert(place, (client, tat));
        decision
    }

    /// Where a client is, or belongs.
    fn find(&self, client: Client) -> Result<usize, usize> {
        self.buckets.binary_search_by_key(&client, |(client, _)| *client)
    }

    /// Forgets every full bucket, or the fullest if none is full.
    fn forget(&mut self, rate: Rate, now: Timestamp) {
        let full = Tat::full_at(rate, now.micros());
        self.buckets.retain(|(_, tat)| *tat > full);
        if self.buckets.len() < CLIENTS_MAX {
            return;
        }
        let fullest = self.buckets.iter().enumerate().min_by_key(|(_, (_, tat))| *tat).map(|(place, _)| place);
        if let Some(place) = fullest {
            self.buckets.remove(place);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client() {
        let client = |text: &str| Client::of_header(Some(text));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_eq!(client("192.0.2.1, 192.0.2.2"), Client::Unknown);
        assert_eq!(Client::of_header(None), Client::Unknown);
    }

    #[test]
    fn a_client_is_held_to_its_bucket() {
        let (mut limiter, rate) = (PublicLimiter::default(), Rate::new(1, 3));
        let (client, now) = (Client::V4([192, 0, 2, 1]), Timestamp::from_millis(1_700_000_000_000));
        let taken: Vec<_> = (0..5).map(|_| limiter.take(rate, client, now).allowed).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        assert!(limiter.take(rate, Client::V4([192, 0, 2, 2]), now).allowed);
        assert!(limiter.take(rate, client, Timestamp::from_millis(now.millis() + 1_000)).allowed);
    }

    #[test]
    fn a_flood_of_addresses_neither_grows_the_table_nor_frees_the_flooder() {
        let (mut limiter, rate) = (PublicLimiter::default(), Rate::new(1, 3));
        let now = Timestamp::from_millis(1_700_000_000_000);
        let flooder = Client::V4([192, 0, 2, 1]);
        for _ in 0..3 {
            limiter.take(rate, flooder, now);
        }
        for host in 0..20_000_u32 {
            limiter.take(rate, Client::V4(host.to_be_bytes()), now);
            assert!(limiter.len() <= CLIENTS_MAX);
        }
        assert!(!limiter.take(rate, flooder, now).allowed);
    }
}
