//! Between the session and the workers: commands and events, and the end of calls.

use std::time::{Duration, Instant};

use control::{BindFailure, Command, Event};
use crossbeam::channel::Receiver;
use pump::{Notice, SendError};
use session::{CallSummary, Delete, Output, Request};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::Relay;

impl Relay {
    pub(super) fn handle_notices(&mut self, notices: &Receiver<Notice>) {
        while let Ok(notice) = notices.try_recv() {
            self.handle_notice(notice);
        }
    }

    fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Event { worker, event } => {
                self.tallies.count(&event);
                self.session.handle_event(Instant::now(), worker, event);
            }
            Notice::WorkerFailed { worker, reason } => {
                tracing::error!(worker = worker.0, reason, "a worker has ended; its calls are lost");
                self.failed_workers.push((worker, reason));
                self.session.handle_worker_lost(worker);
                self.delete_calls(|call| call.worker == worker);
            }
        }
    }

    /// Does what the session wants done, and what could not be done before.
    pub(super) async fn carry_out(&mut self) {
        self.flush_backlog();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Command(worker, command) => {
                    self.backlog.entry(worker).or_default().push_back(command);
                    self.flush_backlog();
                }
                Output::Reply(token, reply) => match self.details.remove(&token) {
                    Some((id, way)) => self.send_detail(&id, way, reply),
                    None => self.reply(token, &reply).await,
                },
                Output::Ended { call_id, reason, ledger } => {
                    self.tallies.count_end(reason);
                    tracing::debug!(call = call_id, reason = reason.label(), ledger = ledger.len(), "call ended");
                }
            }
        }
    }

    fn flush_backlog(&mut self) {
        let (link, mut events) = (&self.link, Vec::new());
        self.backlog.retain(|&worker, commands| {
            while let Some(command) = commands.pop_front() {
                match link.send(worker, command) {
                    Ok(()) => {}
                    Err(SendError::Busy(command)) => {
                        commands.push_front(command);
                        return true;
                    }
                    Err(SendError::Gone(command)) => events.extend(on_behalf(command).map(|event| (worker, event))),
                }
            }
            false
        });
        for (worker, event) in events {
            self.session.handle_event(Instant::now(), worker, event);
        }
    }

    /// Deletes every call, and waits until the workers have closed them.
    pub(super) async fn end_calls(&mut self, notices: &Receiver<Notice>, noticed: &Notify) {
        tracing::info!(calls = self.session.calls().len(), "ending");
        self.delete_calls(|_| true);
        self.carry_out().await;
        while self.session.call_count() > 0 {
            let deadline = self.deadline();
            tokio::select! {
                () = noticed.notified() => self.handle_notices(notices),
                () = sleep_until(deadline.into()) => self.session.handle_timeout(Instant::now()),
            }
            self.carry_out().await;
        }
    }

    fn delete_calls(&mut self, which: impl Fn(&CallSummary) -> bool) {
        for call in self.session.calls().into_iter().filter(which) {
            let delete = Delete { call_id: call.call_id, delay: Some(Duration::ZERO), fast: true, ..Delete::default() };
            let token = self.own_token();
            self.session.handle_request(Instant::now(), token, Request::Delete(delete));
        }
    }
}

/// What a worker that has ended would say: nothing can be opened, and nothing is left. Without it every request about
/// its calls would have to wait for a deadline.
fn on_behalf(command: Command) -> Option<Event> {
    match command {
        Command::Open { request, call, ports } => {
            let port = ports.first()?;
            let cause = BindFailure::Exhausted("the worker has ended".into());
            Some(Event::Refused { request, call, transport: port.transport, local: port.local, cause })
        }
        Command::Query { request, call } => Some(Event::Statistics { request, call, statistics: None }),
        Command::Remove { call } => Some(Event::Removed { call, statistics: Box::default() }),
        Command::Apply { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use control::{CallKey, OpenPort, RequestId, TransportId};

    use super::*;

    #[test]
    fn whoever_asks_a_dead_worker_is_answered_at_once() {
        let (request, call) = (RequestId(7), CallKey(1));
        let local = "192.0.2.1:30000".parse().unwrap();
        let ports = vec![OpenPort { transport: TransportId(2), local }];
        let Some(Event::Refused { cause, .. }) = on_behalf(Command::Open { request, call, ports }) else { panic!() };
        assert_eq!(cause.to_string(), "out of resources: the worker has ended");
        let answer = on_behalf(Command::Query { request, call });
        assert!(matches!(answer, Some(Event::Statistics { request: RequestId(7), statistics: None, .. })));
        assert!(matches!(on_behalf(Command::Remove { call }), Some(Event::Removed { call: CallKey(1), .. })));
    }
}
