//! Which dialogs go by which connection: whoever opens and closes connections makes nobody search all calls.

use std::collections::{BTreeSet, HashMap};

use sip::DialogHandle;

/// Of confirmed dialogs whose peer is on a connection.
#[derive(Default)]
pub(crate) struct Connections {
    /// By connection.
    dialogs: BTreeSet<(u64, DialogHandle)>,
    by_dialog: HashMap<DialogHandle, u64>,
}

impl Connections {
    /// This dialog goes by this connection; by none with 0.
    pub(crate) fn note(&mut self, dialog: DialogHandle, connection: u64) {
        self.forget(dialog);
        if connection != 0 {
            self.by_dialog.insert(dialog, connection);
            self.dialogs.insert((connection, dialog));
        }
    }

    /// The dialog is over.
    pub(crate) fn forget(&mut self, dialog: DialogHandle) {
        if let Some(connection) = self.by_dialog.remove(&dialog) {
            self.dialogs.remove(&(connection, dialog));
        }
    }

    /// The connection is gone: the dialogs that went by it.
    pub(crate) fn close(&mut self, connection: u64) -> Vec<DialogHandle> {
        let first = (connection, DialogHandle::FIRST);
        let of_it = self.dialogs.range(first..).take_while(|(own, _)| *own == connection);
        let dialogs: Vec<DialogHandle> = of_it.map(|(_, dialog)| *dialog).collect();
        dialogs.iter().for_each(|dialog| self.forget(*dialog));
        dialogs
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_dialog.is_empty()
    }
}
