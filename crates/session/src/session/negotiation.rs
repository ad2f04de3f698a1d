//! Offers and answers as transactions with the worker.

use std::time::Instant;

use control::{BindFailure, CallStatistics, Command, OpenPort, RequestId};
use sdp::SessionDescription;

use super::{Output, Session};
use crate::call::{Call, Phase, Waiting};
use crate::leg::Negotiated;
use crate::negotiate::{Work, WorkKind, answer, offer};
use crate::{LedgerNote, Negotiation, Refusal, Reply, RewrittenSdp, Subscribe, Token, echo, rewrite, subscribe};

impl Session {
    /// Carries out an offer or an answer as far as it gets without the worker.
    pub(super) fn negotiate(
        &mut self,
        now: Instant,
        call: Box<Call>,
        token: Token,
        kind: WorkKind,
        negotiation: &Negotiation,
    ) {
        if Self::is_fragment(negotiation) {
            return self.take_fragment(now, call, token, kind, negotiation);
        }
        if let Some(reply) = self.own_loop(negotiation) {
            self.reply(token, Ok(reply));
            self.keep_or_forget(call);
            return;
        }
        let mut draft = call.negotiated.clone();
        let mut desk = self.desk(now, call.worker);
        let prepared = match kind {
            WorkKind::Offer => offer::prepare(&mut draft, &mut desk, negotiation),
            WorkKind::Answer => answer::prepare(&mut draft, &mut desk, negotiation),
            WorkKind::Echo => echo::prepare(&mut draft, &mut desk, negotiation),
            WorkKind::EchoOffer => echo::late::prepare_offer(&mut draft, &mut desk, negotiation),
            WorkKind::EchoAnswer => echo::late::prepare_answer(&mut draft, &mut desk, negotiation),
            WorkKind::Subscription | WorkKind::SubscriptionAnswer => {
                subscribe::prepare_answer(&mut draft, &mut desk, negotiation)
            }
        };
        let left = (desk.wanted, desk.warnings, desk.notes);
        self.carry_on(now, call, token, prepared, draft, left);
    }

    /// As [`Session::negotiate`], for a subscription.
    pub(super) fn subscribe(&mut self, now: Instant, call: Box<Call>, token: Token, request: &Subscribe) {
        let mut draft = call.negotiated.clone();
        let mut desk = self.desk(now, call.worker);
        let prepared = subscribe::prepare(&mut draft, &mut desk, request);
        let left = (desk.wanted, desk.warnings, desk.notes);
        self.carry_on(now, call, token, prepared, draft, left);
    }

    /// A subscriber has heard enough: its ports are closed.
    pub(super) fn unsubscribe(&mut self, now: Instant, mut call: Box<Call>, token: Token, tag: Option<&str>) {
        let tag = tag.filter(|tag| !tag.is_empty());
        let leg =
            tag.ok_or(Refusal::NoToTag).and_then(|tag| call.negotiated.subscriber(tag).ok_or(Refusal::ToTagNotFound));
        match leg {
            Ok(leg) => {
                self.delete_branch(now, &mut call, leg);
                self.reply(token, Ok(Reply::Done));
            }
            Err(refusal) => self.reply(token, Err(refusal)),
        }
        self.keep(call);
    }

    fn carry_on(
        &mut self,
        now: Instant,
        mut call: Box<Call>,
        token: Token,
        prepared: Result<Work, Refusal>,
        draft: Negotiated,
        (wanted, warnings, notes): (Vec<OpenPort>, Vec<String>, Vec<(usize, LedgerNote)>),
    ) {
        let work = match prepared {
            Ok(work) => work,
            Err(refusal) => {
                self.release(&wanted);
                self.reply(token, Err(refusal));
                self.keep_or_forget(call);
                return;
            }
        };
        call.last_signal = self.wall(now);
        call.last_signal_at = now;
        if matches!(work.kind, WorkKind::Offer | WorkKind::Echo | WorkKind::EchoOffer) {
            // An offer brings a deleted call back.
            call.phase = Phase::Live;
        }
        call.delete_delay = work.options.delete_delay.or(call.delete_delay);
        let deadline = now + self.config.timeouts.worker;
        let request = RequestId(0);
        let waiting = Box::new(Waiting { token, request, draft, work, wanted, warnings, notes, attempts: 1, deadline });
        if waiting.wanted.is_empty() {
            self.finish(now, call, waiting);
        } else {
            self.open(call, waiting);
        }
    }

    /// With `loop-protect`, a description of our own goes back as it came.
    fn own_loop(&self, negotiation: &Negotiation) -> Option<Reply> {
        if !negotiation.options.flags.loop_protect {
            return None;
        }
        let description = SessionDescription::parse_bytes(&negotiation.sdp, &sdp::Limits::default()).ok()?;
        let warnings = vec!["loop: the description has passed here before".to_owned()];
        rewrite::is_own(&description, &self.instance)
            .then(|| Reply::Sdp(RewrittenSdp { sdp: negotiation.sdp.clone(), warnings }))
    }

    fn open(&mut self, mut call: Box<Call>, mut waiting: Box<Waiting>) {
        waiting.request = self.request_id();
        let ports = waiting.wanted.clone();
        self.command(call.worker, Command::Open { request: waiting.request, call: call.key, ports });
        call.waiting = Some(waiting);
        self.keep(call);
    }

    /// The ports are open (or none was needed): the draft becomes the state.
    pub(super) fn finish(&mut self, now: Instant, mut call: Box<Call>, mut waiting: Box<Waiting>) {
        let instance = self.instance.clone();
        let mut desk = self.desk(now, call.worker);
        let written = match waiting.work.kind {
            // It is our offer that was answered.
            WorkKind::SubscriptionAnswer | WorkKind::EchoAnswer => Ok(Vec::new()),
            _ => rewrite::write(&mut waiting.draft, &mut desk, &waiting.work, &instance),
        };
        waiting.warnings.append(&mut desk.warnings);
        let sdp = match written {
            Ok(sdp) => sdp,
            Err(refusal) => {
                self.abandon(now, call, waiting, refusal);
                return;
            }
        };
        let before = std::mem::replace(&mut call.negotiated, waiting.draft);
        self.release_difference(&before, &call.negotiated);
        forget_other_branches(&mut call, &before);
        self.statistics.calls_total += u64::from(before.legs.is_empty());
        let wall = self.wall(now);
        for (leg, note) in waiting.notes {
            let tag = call.negotiated.legs.get(leg).map(|leg| leg.tag.clone()).unwrap_or_default();
            call.note(wall, &tag, note);
        }
        call.opened |= !waiting.wanted.is_empty();
        self.apply(now, &mut call, false);
        // A hundred bad lines are told as well by the first of them.
        waiting.warnings.truncate(16);
        for warning in &waiting.warnings {
            tracing::info!(call = call.call_id, warning);
        }
        let rewritten = RewrittenSdp { sdp, warnings: waiting.warnings };
        let reply = match waiting.work.kind {
            WorkKind::Offer | WorkKind::Answer | WorkKind::Echo | WorkKind::EchoOffer => Ok(Reply::Sdp(rewritten)),
            WorkKind::SubscriptionAnswer | WorkKind::EchoAnswer => Ok(Reply::Done),
            WorkKind::Subscription => subscribe::told(&call.negotiated, waiting.work.to, rewritten)
                .map(|told| Reply::Subscribed(Box::new(told)))
                .ok_or(Refusal::CallEnded),
        };
        self.reply(waiting.token, reply);
        self.go_on(now, call);
    }

    /// The draft is dropped. Ports that the worker may have opened for it are closed by telling it what held before.
    pub(super) fn abandon(&mut self, now: Instant, mut call: Box<Call>, waiting: Box<Waiting>, refusal: Refusal) {
        self.release(&waiting.wanted);
        self.reply(waiting.token, Err(refusal));
        if !call.opened {
            self.command(call.worker, Command::Remove { call: call.key });
        } else {
            self.apply(now, &mut call, !waiting.wanted.is_empty());
        }
        self.go_on(now, call);
    }

    /// One of the ports could not be bound; none is open.
    pub(super) fn refused(&mut self, now: Instant, mut call: Box<Call>, port: OpenPort, cause: &BindFailure) {
        let Some(mut waiting) = call.waiting.take() else { return self.keep(call) };
        let told = format!("{}: {cause}", port.local);
        let gives_up = *cause != BindFailure::InUse || waiting.attempts >= self.config.limits.port_attempts;
        if gives_up {
            let told = match waiting.attempts {
                1 => told,
                attempts => format!("{told} (after {attempts} attempts)"),
            };
            return self.abandon_closed(now, call, waiting, Refusal::OutOfPorts(told));
        }
        self.statistics.port_retries += 1;
        waiting.attempts += 1;
        let mut desk = self.desk(now, call.worker);
        desk.wanted = std::mem::take(&mut waiting.wanted);
        let replaced = desk.replace_port(&mut waiting.draft, port);
        waiting.wanted = desk.wanted;
        match replaced {
            Ok(()) => self.open(call, waiting),
            Err(Refusal::OutOfPorts(none)) => {
                let refusal = Refusal::OutOfPorts(format!("{told}; {none}"));
                self.abandon_closed(now, call, waiting, refusal);
            }
            Err(refusal) => self.abandon_closed(now, call, waiting, refusal),
        }
    }

    /// As [`Session::abandon`], when the worker has said that nothing is open.
    fn abandon_closed(&mut self, now: Instant, call: Box<Call>, mut waiting: Box<Waiting>, refusal: Refusal) {
        let wanted = std::mem::take(&mut waiting.wanted);
        self.release(&wanted);
        self.abandon(now, call, waiting, refusal);
    }

    /// The requests that waited for this one.
    fn go_on(&mut self, now: Instant, mut call: Box<Call>) {
        let queue = std::mem::take(&mut call.queue);
        self.keep_or_forget(call);
        for (token, request) in queue {
            self.serve(now, token, request);
        }
    }

    /// A call without legs is none.
    pub(super) fn keep_or_forget(&mut self, mut call: Box<Call>) {
        if call.negotiated.legs.is_empty() && call.waiting.is_none() {
            self.forget(&mut call);
        } else {
            self.keep(call);
        }
    }

    fn release(&mut self, ports: &[OpenPort]) {
        for port in ports {
            self.pool.release(port.local);
        }
    }

    pub(super) fn release_difference(&mut self, before: &Negotiated, after: &Negotiated) {
        for (id, transport) in &before.transports {
            if !after.transports.contains_key(id) {
                self.pool.release(transport.local);
            }
        }
    }

    pub(super) fn ended(&mut self, call: &Call, reason: crate::EndReason, statistics: Option<&CallStatistics>) {
        self.outputs.push_back(Output::Ended {
            call_id: call.call_id.clone(),
            reason,
            view: Box::new(crate::report::view(call, &self.config)),
            statistics: statistics.cloned().map(Box::new),
        });
    }
}

/// What was seen of a leg's transports was seen of the branch that stood in front.
fn forget_other_branches(call: &mut Call, before: &Negotiated) {
    let changed: Vec<usize> = (call.negotiated.legs.iter().zip(&before.legs).enumerate())
        .filter(|(_, (after, before))| after.branch != before.branch)
        .map(|(leg, _)| leg)
        .collect();
    let transports = &call.negotiated.transports;
    call.observed.retain(|id, _| transports.get(id).is_none_or(|transport| !changed.contains(&transport.leg)));
}
