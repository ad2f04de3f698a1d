//! Calls that outlive this process: what is written down of them, and how one that begins goes on with them.
//!
//! ```text
//! something has changed ─► Session(Remember) ─► … a restart … ─► Restored ─► answered: dialogs, timers, flows as they were
//!                                                                       └──► otherwise: BYE to whoever had answered
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use session::{Remember, Request as SessionRequest, Withdraw};
use sip::{DialogHandle, Flow, Request, SessionInterval, StatusCode, Target, name};

use super::bodies::SecuredLegs;
use super::transfer::Transfer;
use super::{Branch, Call, CallNumber, CallerLeg, End, Exchange, OwnOffer, Place, Spec};
use crate::memo::{Called, DialogMemo, EndMemo, Memo, SessionMemo, Setup, Talk, TransferMemo};
use crate::secured::SecuredLeg;
use crate::{B2bua, CallFacts, EndedBy, Fact, Times, facts};

/// The peer's refresh of a session may have been missed: nobody is given up sooner than this after a restart (RFC 4028 §10).
const GRACE: Duration = Duration::from_secs(32);

/// Before we offer, who was offered something by the process before this one has answered that (RFC 3261 §14.2).
const SETTLE_TIME: Duration = Duration::from_secs(4);

/// Branches that a memo may speak of.
const MAX_BRANCHES: u16 = 1024;

impl B2bua {
    /// Follows what has changed in dialogs, and has the session remember what is otherwise in calls.
    pub(crate) fn take_changes(&mut self, now: Instant) {
        let changed: Vec<DialogHandle> = self.ua.take_changed().collect();
        for dialog in changed {
            if self.ua.dialog(dialog).is_some_and(|dialog| dialog.is_confirmed()) {
                let connection = self.ua.target(dialog).map_or(0, |target| target.flow.connection);
                self.connections.note(dialog, connection);
            }
            if let Some(&(number, _)) = self.by_dialog.get(&dialog) {
                if self.calls.get(&number).is_some_and(|call| !call.out_of_reach.is_empty()) {
                    self.with(now, number, |_, _| {});
                }
                self.touched.insert(number);
                let lender = self.calls.get(&number).and_then(Call::lender);
                self.touched.extend(lender);
            }
        }
        if !self.config.remember {
            return self.touched.clear();
        }
        for number in std::mem::take(&mut self.touched) {
            let Some(call) = self.calls.get(&number).filter(|call| call.is_known && !call.deleted && !call.ended)
            else {
                continue;
            };
            // Without a memo the call goes on, and ends by media timeout.
            let state = self.memo_of(now, call).encode().unwrap_or_default();
            let digest = Some(digest(&state));
            let Some(call) = self.calls.get_mut(&number).filter(|call| call.remembered != digest) else { continue };
            call.remembered = digest;
            let remember = Remember { call_id: call.session.clone(), state };
            self.ask(SessionRequest::Remember(remember));
        }
    }

    fn memo_of(&self, now: Instant, call: &Call) -> Memo {
        let talk = if call.caller.accepted { self.talk_of(now, call) } else { None };
        let of_dialogs = || call.dialogs.iter().filter_map(|dialog| self.dialog_memo(now, *dialog)).collect();
        let setup = || Setup {
            who: call.who.clone(),
            request: self.essence(&call.request),
            flow: call.caller.flow,
            route: call.route.clone(),
            times: call.times,
            dialogs: of_dialogs(),
        };
        talk.map_or_else(|| Memo::SettingUp(Box::new(setup())), |talk| Memo::Talking(Box::new(talk)))
    }

    fn talk_of(&self, now: Instant, call: &Call) -> Option<Talk> {
        let called = match (call.echo, call.winner) {
            (true, _) => None,
            (false, winner) => {
                let index = winner?;
                let Spec { uri, target: _, policy: _, trunk, address, user } = call.branches.get(index)?.spec.clone();
                let end = self.end_memo(now, call, End::Called)?;
                let (branch, branches) = (u16::try_from(index).ok()?, u16::try_from(call.branches.len()).ok()?);
                Some(Called { end, branch, branches, uri, address, trunk, user })
            }
        };
        let transfer = call.transfer.as_ref().and_then(|transfer| {
            Some(TransferMemo { from: transfer.stays().other(), branch: u16::try_from(transfer.branch).ok()? })
        });
        Some(Talk {
            caller: self.end_memo(now, call, End::Caller)?,
            called,
            who: call.who.clone(),
            request: self.essence(&call.request),
            max_forwards: call.max_forwards,
            loop_token: call.loop_token.clone(),
            unsettled: unsettled(call),
            transfer,
            route: call.route.clone(),
            times: call.times,
            transfers: call.transfers,
        })
    }

    /// Of the caller's INVITE what goes on in a transfer, and who called whom.
    fn essence(&self, request: &Request) -> Request {
        let mut essence = Request::new(request.method().clone(), request.uri().clone());
        let own = [name::FROM, name::TO, name::CALL_ID, name::CSEQ, name::MAX_FORWARDS];
        for name in own.into_iter().chain(self.config.pass_headers.iter().map(String::as_str)) {
            if !essence.headers.contains(name) {
                essence.headers.copy(&request.headers, name);
            }
        }
        essence
    }

    fn end_memo(&self, now: Instant, call: &Call, end: End) -> Option<EndMemo> {
        let lent = call.lent.filter(|(own, _)| *own == end).map(|(_, dialog)| dialog);
        let dialog = self.dialog_memo(now, self.dialog_at(call, end).or(lent)?)?;
        let secured = call.secured.of(call.place_of(end));
        let remote = dialog.state.agreed.as_ref().map(|agreed| &agreed.remote);
        Some(EndMemo {
            flow: call.flow(end),
            policy: call.side(end).policy.clone(),
            tag: call.tag(end),
            addresses: secured.and_then(|secured| secured.addresses.clone()),
            certificate: secured.and_then(SecuredLeg::certificate),
            opened: secured.zip(remote).and_then(|(secured, remote)| secured.known(remote)).map(Into::into),
            dialog,
        })
    }

    fn dialog_memo(&self, now: Instant, dialog: DialogHandle) -> Option<DialogMemo> {
        let state = self.ua.dialog_state(dialog)?;
        let session = state.session.map(|SessionInterval { seconds, we_refresh, due }| SessionMemo {
            seconds,
            we_refresh,
            due: self.secured.wall(now) + due.saturating_duration_since(now),
        });
        Some(DialogMemo { state, session })
    }

    /// A call of the session was taken over from a process before this one, with what that one wanted to be known of it.
    pub fn handle_restored(&mut self, now: Instant, call_id: &str, state: &[u8]) {
        if let Some(number) = self.by_session.get(call_id).copied() {
            // Another process has gone on with it meanwhile.
            self.disown(now, number);
        }
        let restored = match Memo::decode(state) {
            Ok(Memo::Talking(talk)) => self.restore(now, call_id, *talk),
            Ok(Memo::SettingUp(setup)) => {
                self.end_restored(now, call_id, *setup);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = restored {
            self.tell(Fact::NotRestored { call: call_id.to_owned(), why });
        }
        self.settle(now);
    }

    /// A call that was not answered when its process ended is over.
    fn end_restored(&mut self, now: Instant, call_id: &str, setup: Setup) {
        let Setup { who, request, flow, route, times, dialogs } = setup;
        for memo in dialogs {
            if let Ok((_, dialog)) = self.ua.restore(self.dialog_of(now, memo)) {
                let _ = self.ua.bye(now, dialog, None);
            }
        }
        self.ask_delete(call_id.to_owned());
        let why = "a restart came between";
        self.tell(Fact::Over { call: call_id.to_owned(), why: why.to_owned() });
        self.tell_over(CallFacts {
            call: call_id.to_owned(),
            route,
            times: Times { ended: Some(self.secured.wall(now)), ..times },
            ended_by: Some(EndedBy::Restart),
            why: why.to_owned(),
            ..facts::of_invite(&request, who.as_ref(), &flow)
        });
    }

    fn restore(&mut self, now: Instant, session: &str, talk: Talk) -> Result<(), String> {
        let Talk {
            caller,
            called,
            who,
            request,
            max_forwards,
            loop_token,
            unsettled,
            transfer,
            route,
            times,
            transfers,
        } = talk;
        let fits = |called: &Called| called.branch < called.branches && called.branches <= MAX_BRANCHES;
        if !called.as_ref().is_none_or(fits) {
            return Err("branches that do not fit".to_owned());
        }
        let number = CallNumber(self.new_number());
        let (leg, dialog, own) = self.restore_end(now, caller)?;
        let mut secured = SecuredLegs::new(own.secured);
        let mut branches = Vec::new();
        let mut dialogs = vec![dialog];
        let winner = called.as_ref().map(|called| usize::from(called.branch));
        if let Some(Called { end, branch, branches: count, uri, address, trunk, user }) = called {
            let call_id = end.dialog.state.id.call_id.clone();
            let sent_by = end.dialog.state.target.sent_by.clone();
            let (_, dialog, other) = match self.restore_end(now, end) {
                Ok(restored) => restored,
                Err(why) => {
                    self.ua.abandon(now, dialog);
                    return Err(why);
                }
            };
            dialogs.push(dialog);
            secured.set(Place::Branch(usize::from(branch)), other.secured);
            let spec = Spec { uri, target: None, policy: other.policy, trunk, address, user };
            branches = (0..count).map(|_| Branch::over(spec.clone())).collect();
            if let Some(own) = branches.get_mut(usize::from(branch)) {
                own.target = Some(Target { flow: other.flow, sent_by });
                own.call_id = call_id;
                own.dialog = Some(dialog);
                own.tag = other.tag;
                own.status = Some(StatusCode::OK);
                own.offered = true;
            }
        }
        let caller = CallerLeg {
            leg,
            dialog: Some(dialog),
            flow: own.flow,
            policy: own.policy,
            tag: own.tag,
            over: false,
            accepted: true,
        };
        let mut call = Call {
            who,
            max_forwards,
            loop_token,
            echo: winner.is_none(),
            branches,
            winner,
            dialogs,
            is_known: true,
            route,
            transfers,
            ..Call::new(number, session.to_owned(), caller, secured, request, now, times)
        };
        // There is nobody left to call.
        call.fork.cancel(None);
        if let Some(own) = unsettled.filter(|_| !call.echo) {
            let (OwnOffer::Repair(end) | OwnOffer::Renew(end)) = own;
            // What it says then is news for the other one.
            call.own_offers.extend([own, OwnOffer::Repair(end.other())]);
            call.own_waits = true;
            self.wake(&mut call, now + SETTLE_TIME);
            self.ask(SessionRequest::Withdraw(Withdraw {
                call_id: call.session.clone(),
                from_tag: call.tag(End::Caller),
                to_tag: call.tag(End::Called),
            }));
        }
        let parties = call.who.clone().into_iter().chain(call.called_branch().and_then(|own| own.spec.party()));
        for party in parties.collect::<Vec<_>>() {
            self.takes_part(&mut call, party);
        }
        self.by_session.insert(call.session.clone(), number);
        for (dialog, place) in call.dialogs.iter().zip([End::Caller, End::Called].map(|end| call.place_of(end))) {
            self.by_dialog.insert(*dialog, (number, place));
        }
        self.calls.insert(number, call);
        self.tell(Fact::Restored { call: session.to_owned() });
        self.with(now, number, |own, call| {
            for end in [End::Caller, End::Called] {
                own.look_for(call, end);
            }
            if let Some(TransferMemo { from, branch }) = transfer {
                own.give_up_transfer(now, call, from, usize::from(branch));
            }
        });
        Ok(())
    }

    fn restore_end(&mut self, now: Instant, end: EndMemo) -> Result<(sip::LegId, DialogHandle, RestoredEnd), String> {
        let EndMemo { dialog, flow, policy, tag, addresses, certificate, opened } = end;
        let state = self.dialog_of(now, dialog);
        let body = state.agreed.as_ref().map(|agreed| agreed.remote.clone());
        let opened = body.zip(opened).map(|(body, sdp)| (body, sdp.to_vec()));
        let certificate = certificate
            .zip(addresses.as_ref())
            .and_then(|(certificate, (_, peer))| self.secured.trust(now, &certificate, peer));
        let secured = SecuredLeg::restored(addresses, certificate, opened);
        let (leg, dialog) = self.ua.restore(state).map_err(|error| error.to_string())?;
        Ok((leg, dialog, RestoredEnd { flow, policy, tag, secured }))
    }

    fn dialog_of(&self, now: Instant, memo: DialogMemo) -> sip::DialogState {
        let DialogMemo { mut state, session } = memo;
        state.session = session.map(|SessionMemo { seconds, we_refresh, due }| {
            let left = due.duration_since(self.secured.wall(now)).unwrap_or_default();
            let left = left.min(Duration::from_secs(seconds.into()));
            SessionInterval { seconds, we_refresh, due: now + if we_refresh { left } else { left.max(GRACE) } }
        });
        state
    }

    /// What this process knows of a call is out of date.
    fn disown(&mut self, now: Instant, number: CallNumber) {
        let Some(mut call) = self.calls.remove(&number) else { return };
        call.deleted = true;
        for leg in call.legs.clone() {
            // One that is answered has none to take back.
            let _ = self.ua.cancel(now, leg, None);
        }
        for dialog in call.dialogs.clone() {
            self.connections.forget(dialog);
            self.ua.abandon(now, dialog);
        }
        self.bury(call);
    }

    /// The target of a transfer had not answered: both ends go on as before, and the one that referred us hears of it.
    fn give_up_transfer(&mut self, now: Instant, call: &mut Call, from: End, branch: usize) {
        if let Some(own) = call.branches.get_mut(branch) {
            own.offered = true;
        }
        let request = call.request.clone();
        let response = request.respond(StatusCode::SERVICE_UNAVAILABLE);
        call.transfer = Some(Transfer::resumed(from, branch, request, now));
        self.transfer_failed(now, call, &response);
    }
}

/// What would have to be offered if this call went on elsewhere: first of all to the end of which nobody knows what it has agreed to.
fn unsettled(call: &Call) -> Option<OwnOffer> {
    if let Some(own) = call.own_offers.front() {
        return Some(*own);
    }
    match call.exchange {
        Some(Exchange::Forwarded { from, .. } | Exchange::Wanted { from }) => Some(OwnOffer::Repair(from.other())),
        Some(Exchange::Given { to } | Exchange::Own { to } | Exchange::Orphaned { to }) => Some(OwnOffer::Repair(to)),
        // What it was offered in the other call is taken back.
        None if call.lent.is_some() => call.lent.map(|(end, _)| OwnOffer::Repair(end)),
        None => call.busy.as_ref().map(|_| OwnOffer::Repair(End::Called)),
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What an end is beside its dialog.
struct RestoredEnd {
    flow: Flow,
    policy: crate::LegPolicy,
    tag: String,
    secured: SecuredLeg,
}

impl Branch {
    /// One of which nothing is to come.
    fn over(spec: Spec) -> Self {
        Self { over: true, ..Self::new(spec, 0) }
    }
}
