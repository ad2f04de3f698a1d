//! What each request does.

use std::time::{Duration, Instant};

use control::{CallKey, Command};

use super::Session;
use crate::call::{Call, Phase, Question, QuestionKind};
use crate::negotiate::WorkKind;
use crate::{
    Delete, Deleted, EndReason, LedgerNote, Negotiation, Note, Query, Refusal, Remember, Reply, Request, Token, Treat,
    Unsubscribe, Withdraw, report,
};

/// Requests that may wait behind one whose ports are being bound.
const MAX_QUEUE: usize = 16;

/// A deleted call's ports stay open no longer than this, whatever a request says.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

/// What a delete that matches nothing says.
const NOT_FOUND: &str = "Call-ID not found or tags didn't match";

impl Session {
    pub(super) fn serve(&mut self, now: Instant, token: Token, request: Request) {
        let call_id = match &request {
            Request::EchoOffer(negotiation) if negotiation.from_tag.is_empty() => {
                return self.reply(token, Err(Refusal::NoFromTag));
            }
            Request::EchoOffer(negotiation) => negotiation.call_id.as_str(),
            Request::Offer(negotiation)
            | Request::Answer(negotiation)
            | Request::Echo(negotiation)
            | Request::EchoAnswer(negotiation) => {
                if let Err(refusal) = check_identity(negotiation) {
                    return self.reply(token, Err(refusal));
                }
                negotiation.call_id.as_str()
            }
            Request::SubscribeAnswer(answer) if answer.sdp.is_empty() => return self.reply(token, Err(Refusal::NoSdp)),
            Request::SubscribeAnswer(answer) => answer.call_id.as_str(),
            Request::Subscribe(subscribe) => subscribe.call_id.as_str(),
            Request::Delete(Delete { call_id, .. })
            | Request::Query(Query { call_id, .. })
            | Request::Treat(Treat { call_id, .. })
            | Request::Withdraw(Withdraw { call_id, .. })
            | Request::Note(Note { call_id, .. })
            | Request::Unsubscribe(Unsubscribe { call_id, .. }) => call_id.as_str(),
            Request::Remember(remember) => return self.remember(now, token, remember),
            Request::List { limit } => {
                let ids = self.by_age().into_iter().take(*limit).map(|call| call.call_id().to_owned()).collect();
                return self.reply(token, Ok(Reply::List(ids)));
            }
            Request::Statistics => {
                let statistics = Box::new(self.statistics(now));
                return self.reply(token, Ok(Reply::Statistics(statistics)));
            }
        };
        if call_id.is_empty() {
            return self.reply(token, Err(Refusal::NoCallId));
        }
        if let Some(refusal) = self.media_refusal() {
            return self.reply(token, Err(refusal));
        }
        let known = self.by_call_id.get(call_id).copied().and_then(|key| self.take(key));
        match (known, request) {
            (Some(mut call), request) if call.waiting.is_some() => {
                if call.queue.len() < MAX_QUEUE {
                    call.queue.push_back((token, request));
                } else {
                    self.reply(token, Err(Refusal::OfferPending));
                }
                self.keep(call);
            }
            (Some(call), Request::Offer(offer)) => self.negotiate(now, call, token, WorkKind::Offer, &offer),
            (Some(call), Request::Answer(answer)) => self.negotiate(now, call, token, WorkKind::Answer, &answer),
            (Some(call), Request::Echo(offer)) => self.negotiate(now, call, token, WorkKind::Echo, &offer),
            (Some(call), Request::EchoOffer(asked)) => self.negotiate(now, call, token, WorkKind::EchoOffer, &asked),
            (Some(call), Request::EchoAnswer(answer)) => {
                self.negotiate(now, call, token, WorkKind::EchoAnswer, &answer)
            }
            (Some(call), Request::Subscribe(request)) => self.subscribe(now, call, token, &request),
            (Some(call), Request::SubscribeAnswer(answer)) => {
                self.negotiate(now, call, token, WorkKind::SubscriptionAnswer, &answer);
            }
            (Some(call), Request::Unsubscribe(request)) => {
                self.unsubscribe(now, call, token, request.to_tag.as_deref())
            }
            (Some(call), Request::Withdraw(withdraw)) => self.withdraw(now, call, token, &withdraw),
            (Some(call), Request::Note(note)) => self.note(now, call, token, note),
            (Some(call), Request::Delete(delete)) => self.delete(now, call, token, &delete),
            (Some(call), Request::Query(query)) => self.query(now, call, token, &query),
            (Some(call), Request::Treat(treat)) => self.treat(now, call, token, &treat),
            (None, Request::Offer(offer)) if Self::is_fragment(&offer) => {
                self.reply(token, Err(Refusal::UnknownCallId))
            }
            (None, Request::Offer(offer)) => self.first_offer(now, token, WorkKind::Offer, &offer),
            (None, Request::Echo(offer)) => self.first_offer(now, token, WorkKind::Echo, &offer),
            (None, Request::EchoOffer(asked)) => self.first_offer(now, token, WorkKind::EchoOffer, &asked),
            (None, Request::Delete(delete)) if !delete.fatal => {
                self.reply(token, Ok(Reply::Deleted(Deleted { report: None, warning: Some(NOT_FOUND) })));
            }
            (Some(call), Request::Remember(_) | Request::List { .. } | Request::Statistics) => self.keep(call),
            (None, _) => self.reply(token, Err(Refusal::UnknownCallId)),
        }
    }

    fn first_offer(&mut self, now: Instant, token: Token, kind: WorkKind, offer: &Negotiation) {
        if self.draining {
            return self.reply(token, Err(Refusal::LoadLimit("Draining: no new calls are taken".to_owned())));
        }
        if self.calls.len() >= self.config.limits.calls {
            let cause = format!("Parallel session limit reached: {}", self.config.limits.calls);
            return self.reply(token, Err(Refusal::LoadLimit(cause)));
        }
        self.next_call += 1;
        let key = CallKey(self.next_call);
        let call = Box::new(Call::new(key, &offer.call_id, self.pool.least_loaded(), now, self.wall(now)));
        self.by_call_id.insert(offer.call_id.clone(), key);
        self.negotiate(now, call, token, kind, offer);
    }

    /// An offer has changed nothing but that it is open: what it proposed waits for an answer that will not come.
    fn withdraw(&mut self, now: Instant, mut call: Box<Call>, token: Token, withdraw: &Withdraw) {
        let [from, to] = [&withdraw.from_tag, &withdraw.to_tag].map(|tag| call.negotiated.leg_by_tag(tag));
        let between = |dialog: &&mut crate::leg::Dialog| {
            dialog.legs.map(Some) == [from, to] || dialog.legs.map(Some) == [to, from]
        };
        let dialog = call.negotiated.dialogs.iter_mut().find(between);
        let open = dialog.and_then(|dialog| dialog.exchange.as_mut()).filter(|exchange| !exchange.answered);
        let reply = match open {
            Some(exchange) => {
                exchange.answered = true;
                Ok(Reply::Done)
            }
            None => Err(Refusal::NoOffer),
        };
        if self.config.split && reply.is_ok() {
            self.apply(now, &mut call, false);
        }
        self.reply(token, reply);
        self.keep(call);
    }

    /// Kept at once, whatever else is under way: a memo that is made from here on has it.
    fn remember(&mut self, now: Instant, token: Token, remember: &Remember) {
        let known = self.by_call_id.get(&remember.call_id).copied().and_then(|key| self.take(key));
        let Some(mut call) = known else { return self.reply(token, Err(Refusal::UnknownCallId)) };
        call.signalling.clone_from(&remember.state);
        // While ports are being bound, a plan without them would close them again.
        if self.config.split && call.waiting.is_none() {
            self.apply(now, &mut call, false);
        }
        self.reply(token, Ok(Reply::Done));
        self.keep(call);
    }

    fn note(&mut self, now: Instant, mut call: Box<Call>, token: Token, note: Note) {
        let Note { tag, mut words, .. } = note;
        words.truncate(words.floor_char_boundary(Note::MAX_WORDS));
        let tag = if call.negotiated.leg_by_tag(&tag).is_some() { tag } else { String::new() };
        let is_new = call.note(self.wall(now), &tag, LedgerNote::Signalling(words));
        if self.config.split && is_new {
            // For the memo: of what a memo holds, the ledger alone does not make it another one.
            self.apply(now, &mut call, true);
        }
        self.reply(token, Ok(Reply::Done));
        self.keep(call);
    }

    fn delete(&mut self, now: Instant, mut call: Box<Call>, token: Token, delete: &Delete) {
        let unknown =
            |tag: Option<&str>| tag.is_some_and(|tag| !tag.is_empty() && call.negotiated.leg_by_tag(tag).is_none());
        let to_tag = delete.to_tag.as_deref().filter(|_| delete.match_to_tag);
        if unknown(delete.from_tag.as_deref()) || unknown(to_tag) {
            let reply = if delete.fatal {
                Err(Refusal::UnknownCallId)
            } else {
                Ok(Reply::Deleted(Deleted { report: None, warning: Some(NOT_FOUND) }))
            };
            self.reply(token, reply);
            return self.keep(call);
        }
        if drop_lost_fork(&mut call, delete) {
            self.apply(now, &mut call, false);
            self.reply_deleted(now, &mut call, token, delete.fast);
            return self.keep(call);
        }
        let lost = lost_branch(&call, delete);
        if let Some(leg) = other_branches(&call, delete.via_branch.as_deref()).or(lost) {
            self.delete_branch(now, &mut call, leg);
            self.reply_deleted(now, &mut call, token, delete.fast);
            return self.keep(call);
        }
        let delay = delete.delay.or(call.delete_delay).unwrap_or(self.config.timeouts.delete_delay).min(MAX_DELAY);
        if delay.is_zero() {
            let reply = (!delete.fast).then_some(token);
            if delete.fast {
                self.reply(token, Ok(Reply::Deleted(Deleted { report: None, warning: None })));
            }
            return self.end(now, call, EndReason::Deleted, reply);
        }
        let at = match call.phase {
            Phase::Ending { at, .. } => at.min(now + delay),
            _ => now + delay,
        };
        call.phase = Phase::Ending { at, reason: EndReason::Deleted };
        if self.config.split {
            self.apply(now, &mut call, false);
        }
        self.reply_deleted(now, &mut call, token, delete.fast);
        self.keep(call);
    }

    pub(super) fn delete_branch(&mut self, now: Instant, call: &mut Call, leg: usize) {
        let before = call.negotiated.clone();
        if let Some(leg) = call.negotiated.legs.get_mut(leg) {
            leg.gone = true;
        }
        call.negotiated.prune(&[]);
        self.release_difference(&before, &call.negotiated);
        self.apply(now, call, false);
    }

    fn reply_deleted(&mut self, now: Instant, call: &mut Call, token: Token, fast: bool) {
        if fast {
            self.reply(token, Ok(Reply::Deleted(Deleted { report: None, warning: None })));
        } else {
            self.ask(now, call, token, QuestionKind::Delete);
        }
    }

    fn query(&mut self, now: Instant, mut call: Box<Call>, token: Token, query: &Query) {
        let mut tags = Vec::new();
        for (tag, refusal) in [(&query.from_tag, Refusal::FromTagNotFound), (&query.to_tag, Refusal::ToTagNotFound)] {
            let Some(tag) = tag.as_deref().filter(|tag| !tag.is_empty()) else { continue };
            let leg = call.negotiated.leg_by_tag(tag).and_then(|leg| call.negotiated.legs.get(leg));
            match leg {
                Some(leg) => tags.push(leg.tag.clone()),
                None => {
                    self.reply(token, Err(refusal));
                    return self.keep(call);
                }
            }
        }
        self.ask(now, &mut call, token, QuestionKind::Query { tags });
        self.keep(call);
    }

    fn treat(&mut self, now: Instant, mut call: Box<Call>, token: Token, treat: &Treat) {
        let mut treatments = call.negotiated.treatments.clone();
        let changed = treatments.change(&call.negotiated, treat);
        if let Ok(from) = changed {
            let leg = from.and_then(|from| call.negotiated.legs.get_mut(from));
            if let (Some(leg), Some(label)) = (leg, &treat.label) {
                leg.label = Some(label.clone());
            }
            call.negotiated.treatments = treatments;
            self.apply(now, &mut call, false);
        }
        self.reply(token, changed.map(|_| Reply::Done));
        self.keep(call);
    }

    fn ask(&mut self, now: Instant, call: &mut Call, token: Token, kind: QuestionKind) {
        let request = self.request_id();
        let question = Question { token, request, kind, deadline: now + self.config.timeouts.worker };
        if call.opened {
            self.command(call.worker, Command::Query { request, call: call.key });
            call.questions.push(question);
        } else {
            self.tell(now, call, question, None);
        }
    }

    /// Answers a question with what is known.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        call: &Call,
        question: Question,
        statistics: Option<&control::CallStatistics>,
    ) {
        let mut report = report::report(call, statistics, self.wall(now));
        let reply = match question.kind {
            QuestionKind::Query { tags } => {
                report.tags.retain(|tag| tags.is_empty() || tags.contains(&tag.tag));
                Reply::Query(Box::new(report))
            }
            QuestionKind::Delete => Reply::Deleted(Deleted { report: Some(Box::new(report)), warning: None }),
        };
        self.reply(question.token, Ok(reply));
    }
}

fn check_identity(negotiation: &Negotiation) -> Result<(), Refusal> {
    if negotiation.call_id.is_empty() {
        Err(Refusal::NoCallId)
    } else if negotiation.from_tag.is_empty() {
        Err(Refusal::NoFromTag)
    } else if negotiation.sdp.is_empty() {
        Err(Refusal::NoSdp)
    } else {
        Ok(())
    }
}

/// The leg of this branch, if the call has other branches that live on.
fn other_branches(call: &Call, branch: Option<&str>) -> Option<usize> {
    let branch = branch.filter(|branch| !branch.is_empty())?;
    let live = || call.negotiated.legs.iter().enumerate().filter(|(_, leg)| !leg.gone && leg.via_branch.is_some());
    let (leg, _) = live().find(|(_, leg)| leg.via_branch.as_deref() == Some(branch))?;
    live().any(|(other, _)| other != leg).then_some(leg)
}

/// The tags that a delete gives.
fn named(delete: &Delete) -> impl Iterator<Item = &str> {
    [delete.from_tag.as_deref(), delete.to_tag.as_deref()].into_iter().flatten().filter(|tag| !tag.is_empty())
}

/// A delete in a dialog that another answer to the same offer has won over ends that dialog and nothing else.
fn drop_lost_fork(call: &mut Call, delete: &Delete) -> bool {
    let mut dropped = false;
    for tag in named(delete) {
        for leg in &mut call.negotiated.legs {
            dropped |= leg.tag != tag && leg.drop_fork(tag);
        }
    }
    dropped
}

/// The leg of a dialog that another branch has won over: its end is not the call's.
fn lost_branch(call: &Call, delete: &Delete) -> Option<usize> {
    let negotiated = &call.negotiated;
    named(delete).find_map(|tag| {
        let leg = negotiated.leg_by_tag(tag)?;
        let mut dialogs = negotiated.dialogs_of(leg).peekable();
        let has_branch = negotiated.legs.get(leg).is_some_and(|leg| leg.via_branch.is_some());
        dialogs.peek()?;
        let lost = dialogs.all(|(_, dialog)| dialog.answered.is_some() && !negotiated.is_active(dialog));
        (has_branch && lost).then_some(leg)
    })
}
