//! One call: the caller's leg, the branches to whom it wants, and what is under way between them.
//!
//! ```text
//! started ─► branches: locating ─► offered ─► called ─► answered ─► one has won ─► both talk ─► ended
//!                                                └► failed: the next target, the next group, or the caller's failure
//! ```

mod bodies;
mod branches;
mod checks;
mod early;
mod echo;
mod exchange;
mod incoming;
mod join;
mod reach;
mod replies;
mod restart;
mod run;
mod transfer;
mod within;

use std::collections::VecDeque;
use std::time::Instant;

use session::{EndReason, Token};
use sip::{
    CallEvent, ClientId, DialogHandle, DigestSession, Flow, Fork, Headers, LegId, Request, ServerId, StatusCode,
    Target, Uri,
};

use self::bodies::SecuredLegs;
use crate::facts::{Ending, PartyFacts, Times};
use crate::policy::Side;
use crate::routes::Caller;
use crate::{CallFacts, EndedBy, LegPolicy};
use early::EarlyAnswer;
use transfer::Transfer;

/// Jobs of one call that may wait; beyond, requests that carry nothing vital are refused, and progress is passed over.
const MAX_QUEUE: usize = 32;

/// A call of ours. Numbers are never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct CallNumber(pub(crate) u64);

/// Which leg of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Caller,
    Branch(usize),
}

/// One end of an answered call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Caller,
    Called,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Called,
            Self::Called => Self::Caller,
        }
    }
}

/// What waits to be done in a call, one after the other.
pub(crate) enum Job {
    Event(Place, CallEvent),
    Located {
        branch: usize,
        targets: Result<Vec<Target>, String>,
    },
    /// Where an end may be whose connection is gone.
    Found {
        end: End,
        targets: Result<Vec<Target>, String>,
    },
    SessionEnded(EndReason),
    /// A key of the party of this tag.
    KeySpent(String),
    /// The call's timer.
    Due,
}

/// What the reply that the call waits for is for.
pub(crate) enum Then {
    /// Our offer to a branch.
    Invite { branch: usize },
    /// The answer of a branch, ahead of the 200.
    Ring { early: EarlyAnswer, status: StatusCode, headers: Headers },
    /// The answer of a branch in its 200; or its offer, where the caller made none.
    Accept { branch: usize },
    /// The offer of one end, for the other.
    Reoffer { from: End },
    /// The answer of one end, for the other.
    Reanswer { to: End },
    /// An offer of one end that the other end asked for.
    WantedOffer { from: End },
    /// Our own offer to one end.
    OwnOffer { to: End },
    /// The answer to it, which nobody else waits for.
    OwnAnswer,
    /// The answer of a transfer's target.
    Transfer { branch: usize },
    /// The answer of a party that another call has lent for a transfer.
    Join { branch: usize },
    /// The session answers for the called party, or offers where the caller made no offer.
    Echo,
    /// The session's answer to a later offer of the caller.
    EchoAgain,
    /// The caller's answer to the session's offer.
    EchoAnswer,
}

/// An offer that is open between the ends of an answered call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exchange {
    /// One end offered, and the other end was offered it.
    Forwarded { from: End, withdrawn: bool },
    /// One end wants an offer, the other end was asked for it.
    Wanted { from: End },
    /// The other end's offer is with the one that wanted it.
    Given { to: End },
    /// We offered.
    Own { to: End },
    /// This end was offered what nobody stands for any more: the early dialog that it came from is over.
    Orphaned { to: End },
}

/// Why we offer by ourselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OwnOffer {
    /// This end agreed to what the other end took back.
    Repair(End),
    /// A key of this end is nearly spent.
    Renew(End),
}

pub(crate) struct CallerLeg {
    pub(crate) leg: LegId,
    pub(crate) dialog: Option<DialogHandle>,
    pub(crate) flow: Flow,
    pub(crate) policy: LegPolicy,
    /// What the session calls it.
    pub(crate) tag: String,
    /// It has a final response other than 2xx, or its dialog is over.
    pub(crate) over: bool,
    pub(crate) accepted: bool,
}

/// Whom a branch calls.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) uri: Uri,
    /// Where it is; it is to be located otherwise.
    pub(crate) target: Option<Target>,
    pub(crate) policy: LegPolicy,
    /// The name of the trunk.
    pub(crate) trunk: Option<String>,
    /// Its address of record: whose certificate its signature must have.
    pub(crate) address: Uri,
    /// The user whose contact it is.
    pub(crate) user: Option<String>,
}

pub(crate) struct Branch {
    pub(crate) spec: Spec,
    pub(crate) max_breadth: u32,
    /// Where it may still be reached.
    pub(crate) targets: VecDeque<Target>,
    pub(crate) target: Option<Target>,
    pub(crate) leg: Option<LegId>,
    pub(crate) call_id: String,
    /// The dialog that stands in front: the one that answered.
    pub(crate) dialog: Option<DialogHandle>,
    /// What the session calls that dialog.
    pub(crate) tag: String,
    pub(crate) offer: Option<Vec<u8>>,
    pub(crate) digest: Option<DigestSession>,
    /// The session knows it.
    pub(crate) offered: bool,
    /// The fork has heard its end.
    pub(crate) over: bool,
    /// Its final one.
    pub(crate) status: Option<StatusCode>,
}

pub(crate) struct Call {
    pub(crate) number: CallNumber,
    /// The session's Call-ID.
    pub(crate) session: String,
    pub(crate) caller: CallerLeg,
    pub(crate) secured: SecuredLegs,
    /// For the ledger, as soon as the session knows the call.
    pub(crate) remarks: Vec<(Place, String)>,
    /// Who is at the caller's end, where that can be proven: after a transfer that is somebody else.
    pub(crate) who: Option<Caller>,
    /// The caller's INVITE, without its body.
    pub(crate) request: Request,
    /// The caller's description, unless it left the offer to the called party.
    pub(crate) offer: Option<Vec<u8>>,
    pub(crate) max_forwards: u8,
    pub(crate) loop_token: String,
    pub(crate) echo: bool,
    pub(crate) fork: Fork<Spec>,
    pub(crate) groups_left: usize,
    pub(crate) branches: Vec<Branch>,
    pub(crate) winner: Option<usize>,
    /// The branch by whose answer the caller has agreed before any has won: they may exchange offers.
    pub(crate) early: Option<usize>,
    /// What the caller gets when a branch has won.
    pub(crate) answer: Option<Vec<u8>>,
    /// A failure of our own, which says more than those of the branches.
    pub(crate) own_failure: Option<(StatusCode, Headers)>,
    pub(crate) why: String,
    pub(crate) busy: Option<(Token, Then)>,
    pub(crate) queue: VecDeque<Job>,
    pub(crate) exchange: Option<Exchange>,
    pub(crate) own_offers: VecDeque<OwnOffer>,
    /// Our own offer was refused for a glare, and waits.
    pub(crate) own_waits: bool,
    /// Requests that were passed on to the other end.
    pub(crate) passing: Vec<(ClientId, ServerId, Request)>,
    pub(crate) transfer: Option<Transfer>,
    /// The dialog of this end is with another call, which may join its party with somebody else.
    pub(crate) lent: Option<(End, DialogHandle)>,
    /// The call is over; what is left has to end.
    pub(crate) ended: bool,
    pub(crate) deleted: bool,
    pub(crate) timer: Option<Instant>,
    /// It has rung long enough then.
    pub(crate) gives_up_at: Instant,
    /// Who takes part in it, or has.
    pub(crate) parties: Vec<Caller>,
    pub(crate) legs: Vec<LegId>,
    pub(crate) dialogs: Vec<DialogHandle>,
    /// The route that it took, in words.
    pub(crate) route: Option<String>,
    pub(crate) times: Times,
    pub(crate) ending: Ending,
    /// That were carried out.
    pub(crate) transfers: u16,
    /// The session was asked something of it.
    pub(crate) is_known: bool,
    /// Digest of what it remembers.
    pub(crate) remembered: Option<u64>,
    /// Ends whose connection is gone, or was another process's.
    pub(crate) out_of_reach: Vec<End>,
}

impl Call {
    /// With nothing to call yet, and nothing under way.
    pub(crate) fn new(
        number: CallNumber,
        session: String,
        caller: CallerLeg,
        secured: SecuredLegs,
        request: Request,
        gives_up_at: Instant,
        times: Times,
    ) -> Self {
        Self {
            number,
            session,
            caller,
            secured,
            who: None,
            fork: Fork::new(request.clone(), Vec::new()),
            request,
            offer: None,
            max_forwards: 0,
            loop_token: String::new(),
            echo: false,
            groups_left: 0,
            branches: Vec::new(),
            winner: None,
            early: None,
            answer: None,
            own_failure: None,
            why: String::new(),
            busy: None,
            queue: VecDeque::new(),
            exchange: None,
            own_offers: VecDeque::new(),
            own_waits: false,
            passing: Vec::new(),
            transfer: None,
            lent: None,
            ended: false,
            deleted: false,
            timer: None,
            gives_up_at,
            parties: Vec::new(),
            legs: Vec::new(),
            dialogs: Vec::new(),
            route: None,
            remarks: Vec::new(),
            times,
            ending: Ending::default(),
            transfers: 0,
            is_known: false,
            remembered: None,
            out_of_reach: Vec::new(),
        }
    }

    /// The number of the branch at the called end: the one that has won, or whose answer the caller has agreed by ahead of that.
    pub(crate) fn called(&self) -> Option<usize> {
        self.winner.or(self.early)
    }

    pub(crate) fn called_branch(&self) -> Option<&Branch> {
        self.branches.get(self.called()?)
    }

    /// The first to say so is right: what follows from that end is no other one.
    pub(crate) fn ends_by(&mut self, by: EndedBy) {
        self.ending.by.get_or_insert(by);
    }

    /// What is known of its signalling.
    pub(crate) fn facts(&self) -> CallFacts {
        let Ending { by, status, why } = self.ending.clone();
        CallFacts {
            call: self.session.clone(),
            called: self.branches.iter().filter(|branch| branch.is_called()).map(Branch::facts).collect(),
            times: self.times,
            status: status.or_else(|| self.caller.accepted.then_some(StatusCode::OK)),
            ended_by: by,
            why,
            transfers: self.transfers,
            route: self.route.clone(),
            ..crate::facts::of_invite(&self.request, self.who.as_ref(), &self.caller.flow)
        }
    }

    /// Nothing can come of it any more.
    pub(crate) fn is_done(&self) -> bool {
        self.ended
            && self.caller.over
            && self.fork.is_over()
            && self.busy.is_none()
            && self.out_of_reach.is_empty()
            && self.branches.iter().all(|branch| branch.over)
    }

    pub(crate) fn is_crowded(&self, job: &Job) -> bool {
        let Job::Event(_, event) = job else { return false };
        // What takes an offer back follows an offer.
        let optional = matches!(
            event,
            CallEvent::Request { .. }
                | CallEvent::Progress { .. }
                | CallEvent::Offer { .. }
                | CallEvent::OfferWanted { .. }
        );
        optional && self.queue.len() >= MAX_QUEUE
    }

    pub(crate) fn has_call_id(&self, call_id: &str) -> bool {
        self.request.headers.call_id().is_ok_and(|own| own == call_id)
            || self.branches.iter().any(|branch| branch.call_id == call_id)
    }

    pub(crate) fn side(&self, end: End) -> Side<'_> {
        let caller = Side { policy: &self.caller.policy, transport: self.caller.flow.transport };
        match end {
            End::Caller => caller,
            End::Called => self.called_branch().map_or(caller, Branch::side),
        }
    }

    /// Whether this branch is the target of a transfer.
    pub(crate) fn is_target(&self, index: usize) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.branch == index)
    }

    pub(crate) fn branch_side(&self, index: usize) -> Side<'_> {
        self.branches.get(index).map_or(self.side(End::Caller), Branch::side)
    }

    pub(crate) fn flow(&self, end: End) -> Flow {
        match end {
            End::Caller => self.caller.flow,
            End::Called => self.called_branch().and_then(Branch::flow).copied().unwrap_or(self.caller.flow),
        }
    }

    pub(crate) fn tag(&self, end: End) -> String {
        match end {
            End::Caller => self.caller.tag.clone(),
            End::Called => self.called_branch().map(|branch| branch.tag.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn end_of(&self, place: Place) -> Option<End> {
        match place {
            Place::Caller => Some(End::Caller),
            Place::Branch(branch) => (self.called() == Some(branch)).then_some(End::Called),
        }
    }
}

impl Branch {
    /// Where it is, is not known yet.
    pub(crate) fn new(spec: Spec, max_breadth: u32) -> Self {
        Self {
            spec,
            max_breadth,
            targets: VecDeque::new(),
            target: None,
            leg: None,
            call_id: String::new(),
            dialog: None,
            tag: String::new(),
            offer: None,
            digest: None,
            offered: false,
            over: false,
            status: None,
        }
    }

    /// It was offered something, or could not even be located.
    fn is_called(&self) -> bool {
        !self.call_id.is_empty() || self.status.is_some()
    }

    fn facts(&self) -> PartyFacts {
        PartyFacts {
            user: self.spec.user.clone(),
            trunk: self.spec.trunk.clone(),
            uri: self.spec.uri.to_string(),
            call_id: self.call_id.clone(),
            flow: self.target.as_ref().map(|target| (target.flow.transport, target.flow.peer)),
            status: self.status,
        }
    }

    pub(crate) fn side(&self) -> Side<'_> {
        let transport = self.flow().map_or(sip::Transport::Udp, |flow| flow.transport);
        Side { policy: &self.spec.policy, transport }
    }

    /// How it is called, as soon as that is known.
    pub(crate) fn flow(&self) -> Option<&Flow> {
        self.target.as_ref().map(|target| &target.flow)
    }

    pub(crate) fn via(index: usize) -> String {
        format!("b{index}")
    }
}
