//! The table of dialogs, which knows what has changed in it.

use super::DialogHandle;
use super::entry::Entry;
use std::collections::{BTreeSet, HashMap};

/// Whoever gets at a dialog to change it is noted: no change can be forgotten.
pub(super) struct Dialogs {
    entries: HashMap<DialogHandle, Entry>,
    /// Not kept where nobody asks.
    changed: Option<BTreeSet<DialogHandle>>,
}

impl Dialogs {
    pub(super) fn new(tells_of_changes: bool) -> Self {
        Self { entries: HashMap::new(), changed: tells_of_changes.then(BTreeSet::new) }
    }

    pub(super) fn get(&self, dialog: &DialogHandle) -> Option<&Entry> {
        self.entries.get(dialog)
    }

    pub(super) fn get_mut(&mut self, dialog: &DialogHandle) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(dialog)?;
        if let Some(changed) = &mut self.changed {
            changed.insert(*dialog);
        }
        Some(entry)
    }

    pub(super) fn insert(&mut self, dialog: DialogHandle, entry: Entry) {
        if let Some(changed) = &mut self.changed {
            changed.insert(dialog);
        }
        self.entries.insert(dialog, entry);
    }

    pub(super) fn remove(&mut self, dialog: &DialogHandle) -> Option<Entry> {
        if let Some(changed) = &mut self.changed {
            changed.remove(dialog);
        }
        self.entries.remove(dialog)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<DialogHandle> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
