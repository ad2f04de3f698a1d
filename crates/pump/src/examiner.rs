//! The thread that examines packets which could not be authenticated. It may be late, and nothing waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam::channel::{Receiver, Sender};
use media::examine::{Evidence, Finding, examine};

/// Packets that may wait for it, and findings that may wait for a worker. Evidence holds copies of keys, so they are few.
pub(crate) const QUEUE: usize = 64;

/// Runs until every worker has dropped its sender. `findings`: by worker.
pub(crate) fn run(evidence: &Receiver<Evidence>, findings: &[Sender<Finding>]) {
    if let Err(error) = packet_io::lower_priority() {
        tracing::debug!(%error, "examinations run at the usual priority");
    }
    for evidence in evidence.iter() {
        // What strangers send must not end this thread.
        let Ok(finding) = catch_unwind(AssertUnwindSafe(|| examine(&evidence))) else {
            tracing::error!("an examination panicked");
            continue;
        };
        if let Some(worker) = findings.get(usize::from(finding.shard())) {
            // Full, or the worker has ended: nobody needs it.
            let _ = worker.try_send(finding);
        }
    }
}
