//! Ports by their number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use datagram::PortId;
use prefetch::prefetch;

/// Values by [`PortId`]. Numbers are given in rising order without gaps, so that others may keep dense tables of them.
pub(super) struct Ports<T> {
    values: HashMap<PortId, T, BuildHasherDefault<Spread>>,
    /// `None` when every number has been given.
    next: Option<u32>,
}

impl<T> Default for Ports<T> {
    fn default() -> Self {
        Self { values: HashMap::default(), next: Some(0) }
    }
}

impl<T> Ports<T> {
    /// `None` when every number has been given.
    pub(super) fn insert(&mut self, value: T) -> Option<PortId> {
        let number = self.next?;
        self.next = number.checked_add(1);
        self.values.insert(PortId(number), value);
        Some(PortId(number))
    }

    pub(super) fn get_mut(&mut self, port: PortId) -> Option<&mut T> {
        self.values.get_mut(&port)
    }

    /// Asks for the memory of several values, all side by side. Changes nothing.
    pub(super) fn prefetch(&self, ports: impl Iterator<Item = PortId>) {
        for port in ports {
            self.values.get(&port).into_iter().for_each(|value| prefetch(value, usize::MAX));
        }
    }

    pub(super) fn remove(&mut self, port: PortId) -> Option<T> {
        self.values.remove(&port)
    }
}

/// One multiplication: our own consecutive numbers need no defence against chosen collisions.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_given_twice_and_the_last_one_ends_it() {
        let mut ports = Ports::default();
        let one = ports.insert('a').unwrap();
        assert_eq!(ports.remove(one), Some('a'));
        let two = ports.insert('b').unwrap();
        assert_eq!((one, two), (PortId(0), PortId(1)));
        assert_eq!(ports.get_mut(one), None);
        assert_eq!(ports.get_mut(two), Some(&mut 'b'));
        ports.next = Some(u32::MAX);
        assert_eq!(ports.insert('c'), Some(PortId(u32::MAX)));
        assert_eq!(ports.insert('d'), None);
        assert_eq!(ports.get_mut(two), Some(&mut 'b'));
    }
}
