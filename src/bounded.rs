//! A map that holds at most a fixed number of entries.
//!
//! Invariant: the map never holds more than its maximum. A full map first drops the entries that the
//! caller calls expired. If none is, [`BoundedMap::insert_or_evict`] drops the entry of the lowest rank, and
//! [`BoundedMap::insert_if_room`] refuses the new entry.
//!
//! Dropping entries looks at each entry once, and happens only when a new key finds the map full.
//!
//! The keys of the hash function are not random on `wasm32-unknown-unknown`. A caller that picks colliding
//! keys makes one look-up compare as many keys as the map may hold, and no more.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `MAX` entries.
#[derive(Debug)]
pub struct BoundedMap<K, V, const MAX: usize> {
    entries: HashMap<K, V>,
}

impl<K, V, const MAX: usize> Default for BoundedMap<K, V, MAX> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<K: Eq + Hash, V, const MAX: usize> BoundedMap<K, V, MAX> {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    /// Keeps the entries for which the predicate holds.
    pub fn retain(&mut self, keeps: impl Fn(&V) -> bool) {
        self.entries.retain(|_, value| keeps(value));
    }

    /// Inserts or replaces an entry. A full map drops its expired entries and, if it is still full, the
    /// entry of the lowest rank.
    pub fn insert_or_evict<R: Ord>(&mut self, key: K, value: V, is_expired: impl Fn(&V) -> bool, rank: impl Fn(&V) -> R)
    where
        K: Clone,
    {
        if !self.has_room_for(&key, is_expired) {
            let lowest = self.entries.iter().min_by_key(|(_, value)| rank(value)).map(|(key, _)| key.clone());
            if let Some(lowest) = lowest {
                self.entries.remove(&lowest);
            }
        }
        self.entries.insert(key, value);
    }

    /// Inserts or replaces an entry. A full map drops its expired entries and, if it is still full, refuses
    /// the new one. Says whether the entry is in the map.
    pub fn insert_if_room(&mut self, key: K, value: V, is_expired: impl Fn(&V) -> bool) -> bool {
        let has_room = self.has_room_for(&key, is_expired);
        if has_room {
            self.entries.insert(key, value);
        }
        has_room
    }

    fn has_room_for(&mut self, key: &K, is_expired: impl Fn(&V) -> bool) -> bool {
        if self.entries.len() < MAX || self.entries.contains_key(key) {
            return true;
        }
        self.entries.retain(|_, value| !is_expired(value));
        self.entries.len() < MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values below 0 are expired; the value is the rank.
    type Map = BoundedMap<&'static str, i32, 2>;

    fn full(first: i32, second: i32) -> Map {
        let mut map = Map::default();
        map.insert_or_evict("first", first, is_expired, rank);
        map.insert_or_evict("second", second, is_expired, rank);
        map
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the map passes references")]
    const fn is_expired(value: &i32) -> bool {
        *value < 0
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the map passes references")]
    const fn rank(value: &i32) -> i32 {
        *value
    }

    #[test]
    fn a_full_map_drops_every_expired_entry_first() {
        for insert in [
            |map: &mut Map| map.insert_or_evict("third", 3, is_expired, rank),
            |map: &mut Map| assert!(map.insert_if_room("third", 3, is_expired)),
        ] {
            let mut map = full(-1, -2);
            insert(&mut map);
            assert_eq!((map.len(), map.get(&"third")), (1, Some(&3)));
            let mut map = full(-1, 2);
            insert(&mut map);
            assert_eq!((map.get(&"first"), map.get(&"second"), map.get(&"third")), (None, Some(&2), Some(&3)));
        }
    }

    #[test]
    fn without_an_expired_entry_the_lowest_rank_goes_or_the_new_entry_is_refused() {
        let mut map = full(2, 1);
        map.insert_or_evict("third", 0, is_expired, rank);
        assert_eq!((map.get(&"first"), map.get(&"second"), map.get(&"third")), (Some(&2), None, Some(&0)));
        assert!(!map.insert_if_room("fourth", 4, is_expired));
        assert_eq!((map.len(), map.get(&"fourth")), (2, None));
    }

    #[test]
    fn a_key_that_is_there_is_replaced_and_nothing_is_dropped() {
        let mut map = full(-1, 2);
        map.insert_or_evict("second", 3, is_expired, rank);
        assert!(map.insert_if_room("second", 4, is_expired));
        assert_eq!((map.len(), map.get(&"first"), map.get(&"second")), (2, Some(&-1), Some(&4)));
        assert_eq!((map.remove(&"second"), map.len(), map.is_empty()), (Some(4), 1, false));
        map.retain(|value| !is_expired(value));
        assert!(map.is_empty());
    }
}
