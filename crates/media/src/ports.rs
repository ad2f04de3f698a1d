//! Which transport a port belongs to.

use std::collections::VecDeque;

use datagram::PortId;

const NONE: u32 = u32::MAX;

/// Slots by port in constant time. Port names only grow, so the front of the window is dropped as old ports close.
#[derive(Default)]
pub(crate) struct Ports {
    base: u32,
    slots: VecDeque<u32>,
}

impl Ports {
    pub(crate) fn insert(&mut self, port: PortId, slot: u32) {
        if self.slots.is_empty() {
            self.base = port.0;
        }
        while port.0 < self.base {
            self.slots.push_front(NONE);
            self.base -= 1;
        }
        let position = (port.0 - self.base) as usize;
        while self.slots.len() <= position {
            self.slots.push_back(NONE);
        }
        if let Some(entry) = self.slots.get_mut(position) {
            *entry = slot;
        }
    }

    pub(crate) fn slot(&self, port: PortId) -> Option<usize> {
        let position = port.0.checked_sub(self.base)? as usize;
        self.slots.get(position).copied().filter(|&slot| slot != NONE).map(|slot| slot as usize)
    }

    pub(crate) fn remove(&mut self, port: PortId) {
        if let Some(position) = port.0.checked_sub(self.base)
            && let Some(entry) = self.slots.get_mut(position as usize)
        {
            *entry = NONE;
        }
        while self.slots.front() == Some(&NONE) {
            self.slots.pop_front();
            self.base = self.base.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_until_it_is_removed_and_closed_ports_cost_no_memory() {
        let mut ports = Ports::default();
        for port in 0..10_000 {
            ports.insert(PortId(port), port * 2 % 1000);
            assert_eq!(ports.slot(PortId(port)), Some((port * 2 % 1000) as usize));
            if port >= 10 {
                ports.remove(PortId(port - 10));
                assert_eq!(ports.slot(PortId(port - 10)), None);
            }
        }
        assert_eq!(ports.slots.len(), 10);
        assert_eq!(ports.slot(PortId(20_000)), None);
    }

    #[test]
    fn ports_may_come_out_of_order() {
        let mut ports = Ports::default();
        ports.insert(PortId(7), 1);
        ports.insert(PortId(5), 2);
        assert_eq!((ports.slot(PortId(5)), ports.slot(PortId(6)), ports.slot(PortId(7))), (Some(2), None, Some(1)));
    }
}
