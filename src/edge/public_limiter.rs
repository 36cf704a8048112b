//! The bucket of a client address, for public paths and failed authentication.
//!
//! Invariants:
//!
//! - The limiter remembers at most [`CLIENTS_MAX`] clients. A further client makes it forget the full buckets,
//!   which hold no information, or else the fullest bucket. So an attacker that floods the table frees only the
//!   clients that have used their buckets least.
//! - The limiter believes only `CF-Connecting-IP`. Callers can set every other forwarding header themselves. An
//!   IPv6 host has a whole /64, so all addresses of a /64 are one client.
//!
//! The buckets live in the isolate's memory. They are exact for one isolate and not shared across the network. They
//! shield the Worker from noise. The organization's own bucket is what protects it.

use std::net::IpAddr;

use crate::bounded::BoundedMap;
use crate::directory::timestamp::Timestamp;
use crate::organization::limiter::{Decision, Rate, Tat};

pub const CLIENTS_MAX: usize = 4_096;

/// Addresses that share a bucket: an IPv4 address, an IPv6 /64, or all clients of unknown address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    buckets: BoundedMap<Client, Tat, CLIENTS_MAX>,
}

impl PublicLimiter {
    /// Whether [`Self::take`] would grant a token.
    pub fn has_token(&self, rate: Rate, client: Client, now: Timestamp) -> bool {
        let mut tat = self.buckets.get(&client).copied().unwrap_or_default();
        rate.take(&mut tat, now.micros(), 1).allowed
    }

    pub fn take(&mut self, rate: Rate, client: Client, now: Timestamp) -> Decision {
        if let Some(tat) = self.buckets.get_mut(&client) {
            return rate.take(tat, now.micros(), 1);
        }
        let mut tat = Tat::default();
        let decision = rate.take(&mut tat, now.micros(), 1);
        let full = Tat::full_at(rate, now.micros());
        self.buckets.insert_or_evict(client, tat, |tat| *tat <= full, |tat| *tat);
        decision
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
        let mut take = || {
            // To look takes nothing, and tells what comes.
            let looks = [(); 2].map(|()| limiter.has_token(rate, client, now));
            let allowed = limiter.take(rate, client, now).allowed;
            assert_eq!(looks, [allowed; 2]);
            allowed
        };
        assert_eq!([(); 5].map(|()| take()), [true, true, true, false, false]);
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
            assert!(limiter.buckets.len() <= CLIENTS_MAX);
        }
        assert!(!limiter.take(rate, flooder, now).allowed);
    }
}
