//! Bodies of a call's legs: what S/MIME has to be taken off before anything is read, and put on before anything is sent.

use std::collections::BTreeMap;
use std::time::Instant;

use session::{Note, Request as SessionRequest};
use sip::{Body, DialogHandle, Flow, LegId, Reason, Request, StatusCode, Uri};
use smime::Handling;

use super::{Call, End, Place};
use crate::secured::{LegView, Opened, SecuredLeg, Unopened};
use crate::{B2bua, Fact, LegPolicy, description};

/// What is known of S/MIME on each leg.
#[derive(Default)]
pub(crate) struct SecuredLegs {
    caller: SecuredLeg,
    branches: BTreeMap<usize, SecuredLeg>,
}

impl SecuredLegs {
    pub(super) fn new(caller: SecuredLeg) -> Self {
        Self { caller, branches: BTreeMap::new() }
    }

    /// The leg of this branch is the caller's from here on.
    pub(super) fn take_callers_place(&mut self, index: usize) {
        self.caller = self.branches.remove(&index).unwrap_or_default();
    }

    /// What is known of one.
    pub(super) fn of(&self, place: Place) -> Option<&SecuredLeg> {
        match place {
            Place::Caller => Some(&self.caller),
            Place::Branch(index) => self.branches.get(&index),
        }
    }

    pub(super) fn set(&mut self, place: Place, leg: SecuredLeg) {
        *self.at(place) = leg;
    }

    pub(super) fn at(&mut self, place: Place) -> &mut SecuredLeg {
        match place {
            Place::Caller => &mut self.caller,
            Place::Branch(index) => self.branches.entry(index).or_default(),
        }
    }
}

impl Call {
    pub(super) fn place_of(&self, end: End) -> Place {
        match (end, self.called()) {
            (End::Called, Some(index)) => Place::Branch(index),
            _ => Place::Caller,
        }
    }

    /// The description in a body of a leg that was taken before.
    pub(super) fn described(&self, place: Place, body: &Body) -> Option<Vec<u8>> {
        self.secured.of(place).and_then(|leg| leg.known(body)).or_else(|| description::of(body))
    }

    fn leg_view(&self, place: Place) -> LegView<'_> {
        let caller = LegView { policy: &self.caller.policy, flow: &self.caller.flow };
        let Place::Branch(index) = place else { return caller };
        let branch = self.branches.get(index);
        branch.map_or(caller, |branch| LegView {
            policy: &branch.spec.policy,
            flow: branch.flow().unwrap_or(&self.caller.flow),
        })
    }

    fn tag_at(&self, place: Place) -> String {
        match place {
            Place::Caller => self.caller.tag.clone(),
            Place::Branch(index) => self.branches.get(index).map(|branch| branch.tag.clone()).unwrap_or_default(),
        }
    }
}

impl B2bua {
    /// The offer of an INVITE, if it has one, and what is known of the caller's bodies from here on.
    pub(super) fn open_invite(
        &mut self,
        now: Instant,
        leg: LegId,
        request: &Request,
        policy: &LegPolicy,
        flow: &Flow,
    ) -> Result<(Option<Vec<u8>>, SecuredLeg), Unopened> {
        let addresses = request.headers.to().and_then(|to| Ok((to.uri, request.headers.from()?.uri))).ok();
        let mut secured = SecuredLeg::new(addresses);
        let view = LegView { policy, flow };
        let offer = match Body::of(&request.headers, request.body()).filter(Body::has_sdp) {
            Some(body) => {
                let handling = Handling::of(&request.headers);
                let opened = self.secured.open(now, &body, handling, &mut secured, view, &mut self.counters);
                self.tell_secured();
                match opened? {
                    Opened::Sdp(sdp) => Some(sdp),
                    Opened::Nothing => {
                        let _ = self.ua.forget_offer(leg);
                        None
                    }
                }
            }
            None => None,
        };
        self.secured.can_secure(now, &secured, view).map_err(Unopened::not_sent)?;
        Ok((offer, secured))
    }

    /// The description in a body of a leg.
    pub(super) fn open(
        &mut self,
        now: Instant,
        call: &mut Call,
        place: Place,
        body: &Body,
    ) -> Result<Vec<u8>, Unopened> {
        let mut leg = std::mem::take(call.secured.at(place));
        let view = call.leg_view(place);
        let opened = self.secured.open(now, body, Handling::Required, &mut leg, view, &mut self.counters);
        *call.secured.at(place) = leg;
        self.tell_secured();
        match opened? {
            Opened::Sdp(sdp) => Ok(sdp),
            Opened::Nothing => Err(Unopened::no_description()),
        }
    }

    /// A description as it goes to a leg. Nothing goes out if it cannot be secured as the leg's policy says.
    pub(super) fn secure(&mut self, now: Instant, call: &mut Call, place: Place, sdp: Vec<u8>) -> Option<Body> {
        let mut leg = std::mem::take(call.secured.at(place));
        let secured = self.secured.secure(now, sdp, &mut leg, call.leg_view(place), &mut self.counters);
        *call.secured.at(place) = leg;
        secured.map_err(|why| call.why = why).ok()
    }

    /// Whom a branch is with, from its INVITE.
    pub(super) fn learn_addresses(call: &mut Call, index: usize, invite: &Request) {
        let Some(branch) = call.branches.get(index) else { return };
        let peer: Uri = branch.spec.address.clone();
        let leg = call.secured.at(Place::Branch(index));
        if leg.addresses.is_none() {
            leg.addresses = invite.headers.from().ok().map(|from| (from.uri, peer));
        }
    }

    /// The offer of a request is refused with what S/MIME says of it.
    pub(super) fn refuse_unopened(&mut self, now: Instant, dialog: DialogHandle, unopened: Unopened) {
        self.counters.refused_offers += 1;
        let mut headers = self.warning(399, &unopened.why);
        headers.extend(&unopened.headers());
        // An offer that was withdrawn needs no answer.
        let _ = self.ua.refuse_with(now, dialog, unopened.status, &headers, unopened.body);
    }

    /// A branch that answered what cannot be read: it ends with that reason, and the caller hears of another target or of ours.
    pub(super) fn release_unopened(&mut self, now: Instant, call: &mut Call, index: usize, unopened: &Unopened) {
        call.why.clone_from(&unopened.why);
        if let Some(dialog) = call.branches.get_mut(index).and_then(|branch| branch.dialog.take()) {
            let reason = Reason::sip(unopened.status, &unopened.why);
            let _ = self.ua.bye(now, dialog, Some(reason));
        }
        let response = call.request.respond(StatusCode::BAD_GATEWAY);
        self.give_up_branch(now, call, index, response);
    }

    /// An answer inside the call that cannot be read: nobody knows what was agreed, so that it ends with that reason.
    pub(super) fn end_unopened(&mut self, now: Instant, call: &mut Call, unopened: &Unopened) {
        let reason = Reason::sip(unopened.status, &unopened.why);
        self.end(now, call, &unopened.why, Some(reason));
    }

    /// What was found out of the legs goes into the ledger. The session must know the call.
    pub(super) fn note_legs(&mut self, call: &mut Call) {
        let branches = 0..call.branches.len();
        for place in std::iter::once(Place::Caller).chain(branches.map(Place::Branch)) {
            for words in std::mem::take(&mut call.secured.at(place).notes) {
                let (call_id, tag) = (call.session.clone(), call.tag_at(place));
                self.tell(Fact::Smime { call: call_id.clone(), tag: tag.clone(), words: words.clone() });
                self.ask(SessionRequest::Note(Note { call_id, tag, words }));
            }
        }
        for (place, words) in std::mem::take(&mut call.remarks) {
            let (call_id, tag) = (call.session.clone(), call.tag_at(place));
            self.ask(SessionRequest::Note(Note { call_id, tag, words }));
        }
    }

    fn tell_secured(&mut self) {
        for fact in std::mem::take(&mut self.secured.facts) {
            self.tell(fact);
        }
    }
}
