//! A map of two halves: what was put in before the last rotation, and since.

use std::collections::HashMap;
use std::hash::Hash;

/// Forgets its older half when the younger is full.
#[derive(Debug)]
pub(super) struct Rotating<K, V> {
    younger: HashMap<K, V>,
    older: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Rotating<K, V> {
    /// A map of at most `max` entries, and at least two.
    pub(super) fn new(max: usize) -> Self {
        Self { younger: HashMap::new(), older: HashMap::new(), half: (max / 2).max(1) }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.younger.get(key).or_else(|| self.older.get(key))
    }

    /// Puts an entry in, and answers how many were forgotten for it.
    pub(super) fn insert(&mut self, key: K, value: V) -> usize {
        let full = self.younger.len() >= self.half && !self.younger.contains_key(&key);
        let forgotten = if full { self.rotate() } else { 0 };
        self.younger.insert(key, value);
        forgotten
    }

    /// Forgets the older half, and answers how many that were.
    pub(super) fn rotate(&mut self) -> usize {
        std::mem::replace(&mut self.older, std::mem::take(&mut self.younger)).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_older_half_and_no_more() {
        let mut map = Rotating::new(4);
        let forgotten: usize = (0..6).map(|n| map.insert(n, n)).sum();
        assert_eq!(forgotten, 2);
        let kept: Vec<i32> = (0..6).filter(|n| map.get(n).is_some()).collect();
        assert_eq!(kept, [2, 3, 4, 5]);
    }
}
