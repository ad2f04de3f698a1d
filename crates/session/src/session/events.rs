//! What the workers tell, and what time brings.

use std::time::Instant;

use control::{CallStatistics, Event, TransportEvent, WorkerId};

use super::Session;
use crate::call::{Call, Observed, Phase, Question, QuestionKind};
use crate::{EndReason, LedgerNote, Refusal, report};

impl Session {
    pub(super) fn take_event(&mut self, now: Instant, worker: WorkerId, event: Event) {
        let key = match &event {
            Event::Snapshot { request, calls, more } => return self.take_page(now, worker, *request, calls, *more),
            Event::Opened { call, .. }
            | Event::Refused { call, .. }
            | Event::Statistics { call, .. }
            | Event::Transport { call, .. }
            | Event::Idle { call }
            | Event::Removed { call, .. } => *call,
        };
        let Some(mut call) = self.take(key) else {
            if matches!(event, Event::Idle { .. }) {
                self.note_idle(worker, key);
            }
            return;
        };
        if call.worker != worker {
            return self.keep(call);
        }
        match event {
            Event::Opened { request, .. } => match call.waiting.take_if(|waiting| waiting.request == request) {
                Some(waiting) => self.finish(now, call, waiting),
                None => self.keep(call),
            },
            Event::Refused { request, transport, local, cause, .. } => {
                let is_waited_for = call.waiting.as_ref().is_some_and(|waiting| {
                    let named = |port: &control::OpenPort| port.transport == transport && port.local == local;
                    waiting.request == request && waiting.wanted.iter().any(named)
                });
                if is_waited_for {
                    self.refused(now, call, control::OpenPort { transport, local }, &cause);
                } else {
                    self.keep(call);
                }
            }
            Event::Statistics { request, statistics, .. } => {
                let asked = call.questions.iter().position(|question| question.request == request);
                if let Some(index) = asked {
                    let question = call.questions.remove(index);
                    self.tell(now, &call, question, statistics.as_deref());
                }
                self.lose_or_keep(now, call, statistics.is_none() && asked.is_some());
            }
            Event::Transport { transport, event, .. } => {
                self.observe(now, &mut call, transport, event);
                self.keep(call);
            }
            Event::Idle { .. } => {
                if matches!(call.phase, Phase::Live) && call.waiting.is_none() {
                    self.end(now, call, EndReason::MediaTimeout, None);
                } else {
                    self.keep(call);
                }
            }
            Event::Removed { statistics, .. } => self.removed(now, call, Some(&statistics)),
            Event::Snapshot { .. } => self.keep(call),
        }
    }

    /// A worker that does not know a call has lost it, with its ports.
    fn lose_or_keep(&mut self, now: Instant, call: Box<Call>, lost: bool) {
        if lost && !matches!(call.phase, Phase::Removing { .. }) && call.waiting.is_none() {
            // It will not answer a Remove either; the deadline sees to that.
            self.end(now, call, EndReason::WorkerLost, None);
        } else {
            self.keep(call);
        }
    }

    fn observe(&mut self, now: Instant, call: &mut Call, transport: control::TransportId, event: TransportEvent) {
        if !call.negotiated.transports.contains_key(&transport) {
            return;
        }
        let (wall, tag) = (self.wall(now), call.tag_of(transport));
        let observed: &mut Observed = call.observed.entry(transport).or_default();
        let note = match event {
            TransportEvent::Nominated { remote } | TransportEvent::Latched { remote } => {
                observed.remote = Some(remote);
                None
            }
            TransportEvent::ConsentLost => Some(LedgerNote::ConsentLost),
            TransportEvent::Secured(secured_by) => {
                observed.secured_by = Some(secured_by.clone());
                observed.failure = None;
                Some(LedgerNote::Secured(secured_by))
            }
            TransportEvent::Failed(failure) => {
                observed.failure = Some(failure);
                Some(LedgerNote::Failed(failure))
            }
            TransportEvent::KeyNearlySpent { outbound } => Some(LedgerNote::KeyNearlySpent { outbound }),
        };
        if let Some(note) = note {
            let warning = if let LedgerNote::KeyNearlySpent { outbound } = note {
                let (call_id, tag) = (call.call_id.clone(), tag.clone());
                self.outputs.push_back(super::Output::KeyNearlySpent { call_id, tag, outbound });
                Some(note.to_string())
            } else {
                None
            };
            let is_new = call.note(wall, &tag, note);
            if let Some(warning) = warning.filter(|_| is_new) {
                tracing::warn!(
                    call = call.call_id,
                    leg = tag,
                    "{warning}: packets stop at its end unless a re-offer brings a new key"
                );
            }
        }
    }

    /// The worker has closed everything, or does not answer any more.
    pub(super) fn removed(&mut self, now: Instant, mut call: Box<Call>, statistics: Option<&CallStatistics>) {
        let (reason, reply) = match call.phase {
            Phase::Removing { reason, reply, .. } => (reason, reply),
            Phase::Ending { .. } | Phase::Live => (EndReason::WorkerLost, None),
        };
        for question in std::mem::take(&mut call.questions) {
            self.tell(now, &call, question, statistics);
        }
        if let Some(token) = reply {
            let question =
                Question { token, request: control::RequestId(0), kind: QuestionKind::Delete, deadline: now };
            self.tell(now, &call, question, statistics);
        }
        if let Some(waiting) = call.waiting.take() {
            for port in &waiting.wanted {
                self.pool.release(port.local);
            }
            self.reply(waiting.token, Err(Refusal::CallEnded));
        }
        for transport in call.negotiated.transports.values() {
            self.pool.release(transport.local);
        }
        if call.opened && !self.is_media_here() {
            self.left_behind.insert(call.key);
        }
        let totals = report::report(&call, statistics, self.wall(now)).totals;
        self.count_end(now, &call, reason, totals);
        self.ended(&call, reason, statistics);
        let queue = std::mem::take(&mut call.queue);
        self.forget(&mut call);
        for (token, request) in queue {
            self.serve(now, token, request);
        }
    }

    fn count_end(&mut self, now: Instant, call: &Call, reason: EndReason, totals: crate::Totals) {
        let all = &mut self.statistics;
        match reason {
            EndReason::Deleted => all.ended_by_delete += 1,
            EndReason::MediaTimeout | EndReason::WorkerLost | EndReason::PumpLost => all.ended_by_media_timeout += 1,
            EndReason::OfferTimeout => all.ended_by_offer_timeout += 1,
        }
        all.ended_duration += now.saturating_duration_since(call.created_at);
        for (sum, tally) in [(&mut all.ended_media.rtp, totals.rtp), (&mut all.ended_media.rtcp, totals.rtcp)] {
            sum.packets += tally.packets;
            sum.bytes += tally.bytes;
            sum.errors += tally.errors;
        }
    }

    /// The call's earliest deadline has come.
    pub(super) fn expire(&mut self, now: Instant, mut call: Box<Call>) {
        if let Some(waiting) = call.waiting.take_if(|waiting| waiting.deadline <= now) {
            return self.abandon(now, call, waiting, Refusal::WorkerSilent);
        }
        let (late, questions): (Vec<Question>, Vec<Question>) =
            std::mem::take(&mut call.questions).into_iter().partition(|question| question.deadline <= now);
        call.questions = questions;
        for question in late {
            self.tell(now, &call, question, None);
        }
        match call.phase {
            Phase::Removing { deadline, .. } if deadline <= now => return self.removed(now, call, None),
            Phase::Ending { at, reason } if at <= now && call.waiting.is_none() => {
                return self.end(now, call, reason, None);
            }
            Phase::Live => {
                if let Some((at, reason)) = call.expiry(&self.config.timeouts).filter(|&(at, _)| at <= now) {
                    tracing::debug!(call = call.call_id, overdue = ?now.saturating_duration_since(at), "call expires");
                    return self.end(now, call, reason, None);
                }
            }
            _ => {}
        }
        self.keep(call);
    }
}
