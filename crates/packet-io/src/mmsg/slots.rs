//! Ports by their number, without a hash: a number is a place and how often the place was used before.

use datagram::PortId;

const PLACE_BITS: u32 = 20;
const PLACE_MASK: u32 = (1 << PLACE_BITS) - 1;
const LAST_USE: u32 = u32::MAX >> PLACE_BITS;

/// Values by [`PortId`]. A number is never given twice: a place whose uses are spent stays empty.
pub(super) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    uses: u32,
    value: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// `None` when every number has been given.
    pub(super) fn insert(&mut self, value: T) -> Option<PortId> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.places.len()).ok().filter(|&place| place <= PLACE_MASK)?;
                self.places.push(Place { uses: 0, value: None });
                place
            }
        };
        let entry = self.places.get_mut(place as usize)?;
        entry.value = Some(value);
        Some(PortId(entry.uses << PLACE_BITS | place))
    }

    pub(super) fn get_mut(&mut self, port: PortId) -> Option<&mut T> {
        let entry = self.places.get_mut((port.0 & PLACE_MASK) as usize)?;
        if entry.uses == port.0 >> PLACE_BITS { entry.value.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, port: PortId) -> Option<T> {
        let place = port.0 & PLACE_MASK;
        let entry = self.places.get_mut(place as usize)?;
        if entry.uses != port.0 >> PLACE_BITS {
            return None;
        }
        let value = entry.value.take()?;
        if entry.uses < LAST_USE {
            entry.uses += 1;
            self.free.push(place);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_number_is_never_given_twice() {
        let mut slots = Slots::default();
        let mut seen = HashSet::new();
        for _ in 0..3 * (LAST_USE + 1) {
            let port = slots.insert(()).unwrap();
            assert!(seen.insert(port));
            assert!(slots.remove(port).is_some());
            assert!(slots.get_mut(port).is_none());
            assert!(slots.remove(port).is_none());
        }
        assert_eq!(slots.places.len(), 3);
    }

    #[test]
    fn values_stay_apart() {
        let mut slots = Slots::default();
        let one = slots.insert(1).unwrap();
        let two = slots.insert(2).unwrap();
        slots.remove(one);
        let three = slots.insert(3).unwrap();
        assert_eq!(slots.get_mut(two), Some(&mut 2));
        assert_eq!(slots.get_mut(three), Some(&mut 3));
        assert_eq!(slots.get_mut(one), None);
    }
}
