//! The sets of keys that a receiving context may verify under.

use crate::keyring::Keyring;

/// Generations of keys that may be valid together: the established one and two that no packet has used yet.
const MAX_GENERATIONS: usize = 3;

/// Sets of keys, numbered from the newest one, 0, to the established one. One is the rule: others take no memory.
pub(super) struct Generations {
    /// Newest first. They wait for their first packet.
    waiting: Vec<Keyring>,
    /// The streams' state is under its keys.
    established: Keyring,
}

impl Generations {
    pub(super) fn new(established: Keyring) -> Self {
        Self { waiting: Vec::new(), established }
    }

    #[inline]
    pub(super) fn established(&self) -> &Keyring {
        &self.established
    }

    /// The established generation, if none waits.
    #[inline]
    pub(super) fn sole(&self) -> Option<&Keyring> {
        self.waiting.is_empty().then_some(&self.established)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + 1
    }

    #[inline]
    pub(super) fn is_established(&self, generation: usize) -> bool {
        generation == self.waiting.len()
    }

    #[inline]
    pub(super) fn get(&self, generation: usize) -> Option<&Keyring> {
        if self.is_established(generation) { Some(&self.established) } else { self.waiting.get(generation) }
    }

    pub(super) fn get_mut(&mut self, generation: usize) -> Option<&mut Keyring> {
        if self.is_established(generation) { Some(&mut self.established) } else { self.waiting.get_mut(generation) }
    }

    /// Newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Keyring> {
        self.waiting.iter().chain(std::iter::once(&self.established))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Keyring> {
        self.waiting.iter_mut().chain(std::iter::once(&mut self.established))
    }

    /// This one, and no other.
    pub(super) fn replace(&mut self, ring: Keyring) {
        *self = Self::new(ring);
    }

    /// Puts a new generation in front. One that is offered again makes room, and so does the older of two that wait.
    pub(super) fn add(&mut self, ring: Keyring) {
        self.waiting.retain(|waiting| !ring.shares_secret_with(waiting));
        self.waiting.truncate(MAX_GENERATIONS - 2);
        self.waiting.insert(0, ring);
    }

    /// A packet has used this one: those before it are gone. True: it has just been established.
    pub(super) fn establish(&mut self, generation: usize) -> bool {
        if self.is_established(generation) {
            return false;
        }
        self.waiting.truncate(generation + 1);
        if let Some(ring) = self.waiting.pop() {
            self.established = ring;
        }
        true
    }
}
