//! Between the session and the workers: commands and events, and the end of calls.

use std::time::{Duration, Instant, SystemTime};

use explain::Record;
use pump::SendError;
use session::{CallSummary, Delete, Output, Request};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::Relay;
use super::link::LinkNotice;
use super::sip_door::SipDoor;

/// Why nobody obeys.
const WORKER_GONE: &str = "the worker has ended";
const MEDIA_GONE: &str = "the media half is out of reach";

impl Relay {
    pub(super) fn handle_notices(&mut self) {
        while let Some(notice) = self.link.poll_notice() {
            self.handle_notice(notice);
        }
    }

    fn handle_notice(&mut self, notice: LinkNotice) {
        match notice {
            LinkNotice::Event { worker, event } => {
                self.tallies.count(&event);
                self.session.handle_event(Instant::now(), worker, event);
            }
            LinkNotice::WorkerFailed { worker, reason } => {
                tracing::error!(worker = worker.0, reason, "a worker has ended; its calls are lost");
                self.failed_workers.push((worker, reason));
                self.session.handle_worker_lost(Instant::now(), worker);
                self.delete_calls(|call| call.worker == worker);
            }
            LinkNotice::Connected(welcome) => {
                tracing::info!(backend = welcome.backend, workers = welcome.workers, "the media half is there");
                self.failed_workers.clear();
                self.media_missing = None;
                self.session.handle_media_half(Instant::now(), &welcome);
            }
            LinkNotice::Away { reason } => {
                self.media_missing = Some(reason);
                self.session.handle_media_away();
            }
            LinkNotice::Lost { reason } => {
                self.media_missing = Some(reason);
                self.session.handle_media_lost(Instant::now());
            }
        }
    }

    /// Does what the session wants done, and what could not be done before.
    pub(super) async fn carry_out(&mut self) {
        loop {
            self.carry_out_session().await;
            if !self.carry_out_sip() {
                break;
            }
        }
    }

    async fn carry_out_session(&mut self) {
        self.flush_backlog();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Command(worker, command) => {
                    self.backlog.entry(worker).or_default().push_back(command);
                    self.flush_backlog();
                }
                Output::Reply(token, reply) if SipDoor::owns(token) => {
                    if let Some(door) = &mut self.sip {
                        door.handle_reply(token, reply);
                    }
                }
                Output::Reply(token, reply) => match self.details.remove(&token) {
                    Some((id, way)) => self.send_detail(&id, way, reply),
                    None => self.reply(token, &reply).await,
                },
                Output::Restored { call_id, state } => {
                    if let Some(door) = &mut self.sip {
                        door.handle_restored(Instant::now(), &call_id, &state);
                    }
                }
                // Whoever drives the ng protocol reads of it in the ledger and in the log.
                Output::KeyNearlySpent { call_id, tag, .. } => {
                    if let Some(door) = &mut self.sip {
                        door.b2bua.handle_key_nearly_spent(Instant::now(), &call_id, &tag);
                    }
                }
                Output::Ended { call_id, reason, view, statistics } => {
                    self.tallies.count_end(reason);
                    let mut signalling_follows = false;
                    if let Some(door) = &mut self.sip {
                        signalling_follows = door.b2bua.knows(&call_id);
                        door.b2bua.handle_ended(Instant::now(), &call_id, reason);
                    }
                    if self.records.are_kept() {
                        let record = Record::new(&view, statistics.as_deref(), reason, SystemTime::now());
                        self.records.media_ended(&call_id, record, signalling_follows);
                    }
                    tracing::debug!(call = call_id, reason = reason.label(), "call ended");
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
                    Err(SendError::Gone(command)) => {
                        let cause = if self.media_missing.is_some() { MEDIA_GONE } else { WORKER_GONE };
                        events.extend(command.answer_for_nobody(cause).map(|event| (worker, event)));
                    }
                }
            }
            false
        });
        for (worker, event) in events {
            self.session.handle_event(Instant::now(), worker, event);
        }
    }

    /// Deletes every call, and waits until the workers have closed them.
    pub(super) async fn end_calls(&mut self, noticed: &Notify) {
        tracing::info!(calls = self.session.calls().len(), "ending");
        self.delete_calls(|_| true);
        self.carry_out().await;
        while self.session.call_count() > 0 {
            let deadline = self.deadline();
            tokio::select! {
                () = noticed.notified() => self.handle_notices(),
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
