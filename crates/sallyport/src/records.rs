//! Records of calls, a line of JSON each, appended to a file by a thread of its own: a slow disk holds up no call.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use anyhow::Context;
use serde_json::to_string;

/// Records that may wait for the disk; beyond it they are lost, and the log says so.
const QUEUE: usize = 4096;

/// Where records go. Those that wait are written before it is gone.
pub(crate) struct Records {
    sender: Option<SyncSender<Message>>,
    writer: Option<JoinHandle<()>>,
}

enum Message {
    Line(String),
    Reopen,
}

impl Records {
    /// Opens the file, or makes it.
    pub(crate) fn begin(path: &Path) -> anyhow::Result<Self> {
        let file = open(path).with_context(|| format!("records: {}", path.display()))?;
        let (sender, messages) = sync_channel(QUEUE);
        let path = path.to_owned();
        let writer = std::thread::Builder::new().name("records".into()).spawn(move || write(&path, file, &messages))?;
        Ok(Self { sender: Some(sender), writer: Some(writer) })
    }

    /// Adds a record. It never waits.
    pub(crate) fn write(&self, record: &explain::Record) {
        match to_string(record) {
            Ok(line) => self.send(Message::Line(line)),
            Err(error) => tracing::warn!(%error, "records: one could not be written as JSON"),
        }
    }

    /// Opens the file anew under its name, so that it can be moved away before.
    pub(crate) fn reopen(&self) {
        self.send(Message::Reopen);
    }

    fn send(&self, message: Message) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sender.try_send(message) {
            tracing::warn!("records: the disk does not keep up, one is lost");
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Who has talked with whom is nobody else's business.
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn write(path: &Path, mut file: File, messages: &Receiver<Message>) {
    for message in messages {
        let outcome = match message {
            // One write for a line: whoever follows the file sees whole ones.
            Message::Line(line) => file.write_all(format!("{line}\n").as_bytes()),
            Message::Reopen => open(path).map(|opened| file = opened),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, path = %path.display(), "records: not written");
        }
    }
}
