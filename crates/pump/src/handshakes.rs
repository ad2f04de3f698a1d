//! The thread body of handshakes.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::TransportFailure;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use datagram::Wake;
use dtls::Identity;
use media::handshake::{Handle, Handshakes, Input, Output};

/// Inputs dealt with before the workers get the outputs.
const TURN: usize = 32;

/// The way back to a worker.
pub(crate) struct Return {
    pub(crate) outputs: Sender<Output>,
    pub(crate) waker: Arc<dyn Wake>,
}

/// One handshake thread: everything that [`Self::run`] needs.
pub(crate) struct Lane {
    pub(crate) inputs: Receiver<Input>,
    /// By worker.
    pub(crate) returns: Vec<Return>,
    pub(crate) identity: Identity,
    pub(crate) mtu: usize,
}

impl Lane {
    /// Runs until every worker has dropped its sender.
    pub(crate) fn run(self) {
        // Beside the state machine, so that a panic in it leaves no association without an answer.
        let mut live = HashSet::new();
        loop {
            let mut handshakes = Handshakes::new(self.identity.clone(), self.mtu);
            let outcome = catch_unwind(AssertUnwindSafe(|| self.serve(&mut handshakes, &mut live)));
            if outcome.is_ok() {
                return;
            }
            tracing::error!(associations = live.len(), "a handshake thread panicked: its associations fail");
            for handle in live.drain() {
                self.give(Output::Failed { handle, failure: TransportFailure::Internal });
            }
            self.returns.iter().for_each(|back| back.waker.wake());
        }
    }

    fn serve(&self, handshakes: &mut Handshakes, live: &mut HashSet<Handle>) {
        let mut touched = vec![false; self.returns.len()];
        loop {
            let wait = handshakes.poll_timeout().map(|due| due.saturating_duration_since(Instant::now()));
            let first = match wait {
                Some(wait) => self.inputs.recv_timeout(wait),
                None => self.inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let now = Instant::now();
            match first {
                Ok(input) => {
                    for input in std::iter::once(input).chain(self.inputs.try_iter().take(TURN)) {
                        match &input {
                            Input::Start(start) => drop(live.insert(start.handle)),
                            Input::Stop { handle } => drop(live.remove(handle)),
                            _ => {}
                        }
                        handshakes.handle_input(now, input);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            handshakes.handle_timeout(now);
            while let Some(output) = handshakes.poll_output() {
                if let Some(touched) = touched.get_mut(usize::from(output.handle().shard())) {
                    *touched = true;
                }
                self.give(output);
            }
            for (touched, back) in touched.iter_mut().zip(&self.returns) {
                if std::mem::take(touched) {
                    back.waker.wake();
                }
            }
        }
    }

    /// Waits for room, which a worker makes every turn; it never waits for this thread.
    fn give(&self, output: Output) {
        let Some(back) = self.returns.get(usize::from(output.handle().shard())) else { return };
        let mut output = output;
        loop {
            match back.outputs.send_timeout(output, Duration::from_millis(10)) {
                Err(crossbeam::channel::SendTimeoutError::Timeout(kept)) => {
                    output = kept;
                    back.waker.wake();
                }
                // Taken, or the worker has ended.
                _ => return,
            }
        }
    }
}
