//! A slab of contexts, so that a batch can name them by number.

use prefetch::prefetch;

/// Names a context in a [`Contexts`]. The name of a removed context is never given to another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContextId {
    slot: u32,
    generation: u32,
}

/// Contexts of one direction, by number.
pub struct Contexts<C> {
    slots: Vec<Slot<C>>,
    free: Vec<u32>,
}

struct Slot<C> {
    /// Counts the contexts that lived here.
    generation: u32,
    context: Option<C>,
}

impl<C> Default for Contexts<C> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<C> Contexts<C> {
    /// An empty slab.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `context` in.
    pub fn insert(&mut self, context: C) -> ContextId {
        while let Some(number) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(number as usize) {
                slot.context = Some(context);
                return ContextId { slot: number, generation: slot.generation };
            }
        }
        let number = u32::try_from(self.slots.len()).expect("four thousand million contexts do not fit in memory");
        self.slots.push(Slot { generation: 0, context: Some(context) });
        ContextId { slot: number, generation: 0 }
    }

    /// The context of that name.
    #[inline]
    pub fn get(&self, id: ContextId) -> Option<&C> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.context.as_ref()
    }

    /// The context of that name.
    #[inline]
    pub fn get_mut(&mut self, id: ContextId) -> Option<&mut C> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.context.as_mut()
    }

    /// Asks for the context's memory.
    #[inline]
    pub fn prefetch(&self, id: ContextId) {
        if let Some(slot) = self.slots.get(id.slot as usize) {
            prefetch(slot, usize::MAX);
        }
    }

    /// Takes the context out; its name is void from then on.
    pub fn remove(&mut self, id: ContextId) -> Option<C> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let context = slot.context.take()?;
        // A slot whose names are used up is left empty for good.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.slot);
        }
        Some(context)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.context.is_some()).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_removed_context_stays_void() {
        let mut contexts = Contexts::new();
        let first = contexts.insert("first");
        let second = contexts.insert("second");
        assert_eq!(contexts.remove(first), Some("first"));
        let third = contexts.insert("third");
        assert_eq!(contexts.get(first), None);
        assert_eq!(contexts.remove(first), None);
        assert_eq!((contexts.get(second), contexts.get(third)), (Some(&"second"), Some(&"third")));
        assert_eq!(contexts.len(), 2);
    }
}
