//! Named deadlines: one per name, in order of time.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

pub(crate) struct Timers<K> {
    by_name: HashMap<K, Instant>,
    queue: BTreeSet<(Instant, K)>,
}

impl<K: Copy + Eq + Hash + Ord> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { by_name: HashMap::new(), queue: BTreeSet::new() }
    }

    pub(crate) fn set(&mut self, name: K, at: Instant) {
        self.clear(name);
        self.by_name.insert(name, at);
        self.queue.insert((at, name));
    }

    pub(crate) fn clear(&mut self, name: K) {
        if let Some(at) = self.by_name.remove(&name) {
            self.queue.remove(&(at, name));
        }
    }

    pub(crate) fn at(&self, name: K) -> Option<Instant> {
        self.by_name.get(&name).copied()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the first that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<K> {
        let &(_, name) = self.queue.first().filter(|(at, _)| *at <= now)?;
        self.clear(name);
        Some(name)
    }
}
