//! Ends whose connection is gone, and what waits for them.
//!
//! A connection does not outlive its process, and may end before the call. Its end of the call is out of reach then, until a request
//! of it comes by another connection, until it is found where its Contact says, or until it has registered again; a BYE for it waits
//! for that, for a while.

use std::time::{Duration, Instant};

use sip::{DialogHandle, Flow, Target, Transport, Uri};

use super::{Call, End};
use crate::B2bua;
use crate::routes::Caller;

/// How long a BYE waits for its receiver to come within reach.
const REACH_TIME: Duration = Duration::from_secs(60);

impl B2bua {
    /// The connection of a dialog is gone.
    pub(crate) fn lose(&mut self, now: Instant, dialog: DialogHandle) {
        let Some(&(number, place)) = self.by_dialog.get(&dialog) else { return };
        let end = self.calls.get(&number).and_then(|call| call.end_of(place));
        let Some(mut target) = self.ua.target(dialog).cloned() else { return };
        target.flow.connection = 0;
        let _ = self.ua.set_target(dialog, target);
        if let Some(end) = end {
            self.with(now, number, |own, call| own.look_for(call, end));
        }
    }

    /// Nobody can be reached by a connection that is gone, or was another process's.
    pub(super) fn look_for(&mut self, call: &mut Call, end: End) {
        let Some(flow) = self.flow_at(call, end).filter(|flow| flow.transport.is_reliable()) else { return };
        if !call.caller.accepted || call.out_of_reach.contains(&end) {
            return;
        }
        call.out_of_reach.push(end);
        let user = match self.party(call, call.place_of(end)) {
            Some(Caller::User(user)) => Some(user),
            _ => None,
        };
        // Only the client opens a WebSocket, and behind a NAT there is nobody where the Contact says.
        let hop = self.dialog_at(call, end).and_then(|dialog| self.ua.dialog(dialog)).map(|own| own.next_hop().clone());
        let is_there = |hop: &Uri| user.is_none() || hop.as_sip().and_then(|uri| uri.host.ip()) == Some(flow.peer.ip());
        let can_be = matches!(flow.transport, Transport::Tcp | Transport::Tls);
        if let Some(hop) = hop.filter(|hop| can_be && is_there(hop)) {
            self.seek(call.number, end, hop);
        }
        if let Some(user) = user {
            let ends = self.out_of_reach.entry(user).or_default();
            // It may have been out of reach before, and have come back by itself.
            if !ends.contains(&(call.number, end)) {
                ends.push((call.number, end));
            }
        }
    }

    /// The call is over.
    pub(crate) fn look_no_more(&mut self, call: &Call) {
        for party in &call.parties {
            let Caller::User(user) = party else { continue };
            let Some(ends) = self.out_of_reach.get_mut(user) else { continue };
            ends.retain(|(number, _)| *number != call.number);
            if ends.is_empty() {
                self.out_of_reach.remove(user);
            }
        }
    }

    /// Where the peer's Contact says that it is.
    pub(super) fn found(&mut self, call: &mut Call, end: End, targets: Result<Vec<Target>, String>) {
        let Some(flow) = self.flow_at(call, end).filter(|flow| flow.connection == 0) else { return };
        let is_as_secure = |target: &Target| {
            target.flow.transport.is_reliable() && (target.flow.transport.is_secure() || !flow.transport.is_secure())
        };
        if let Some(target) = targets.unwrap_or_default().into_iter().find(is_as_secure) {
            self.reach(call, end, target);
        }
    }

    /// A user has registered: its calls that were out of reach go by that flow, if it is the same phone.
    pub(super) fn found_user(&mut self, now: Instant, user: &str, flow: &Flow) {
        let Some(ends) = self.out_of_reach.remove(user) else { return };
        let contacts: Vec<Uri> = self
            .registrar
            .bindings(user)
            .iter()
            .filter(|binding| binding.flow == *flow)
            .map(|binding| binding.contact.uri.clone())
            .collect();
        for (number, end) in ends {
            let Some(call) = self.calls.get(&number) else { continue };
            let place = call.place_of(end);
            // It may have come back by itself, or somebody else may have its place.
            if !call.out_of_reach.contains(&end) || self.party(call, place) != Some(Caller::User(user.to_owned())) {
                continue;
            }
            let Some(dialog) = self.dialog_at(call, end) else { continue };
            let Some(target) = self.ua.target(dialog).cloned() else { continue };
            let remote = self.ua.dialog(dialog).map(|dialog| dialog.remote_target().clone());
            let is_same =
                contacts.iter().any(|contact| remote.as_ref().is_some_and(|remote| is_one_phone(contact, remote)));
            if !is_same || target.flow.transport != flow.transport {
                self.out_of_reach.entry(user.to_owned()).or_default().push((number, end));
                continue;
            }
            let target = Target { flow: *flow, sent_by: target.sent_by };
            self.with(now, number, |own, call| own.reach(call, end, target));
        }
    }

    fn reach(&mut self, call: &mut Call, end: End, target: Target) {
        if let Some(dialog) = self.dialog_at(call, end) {
            let _ = self.ua.set_target(dialog, target);
        }
    }

    /// Ends that have come within reach hear what waited for it.
    pub(crate) fn look_after_reach(&mut self, now: Instant, call: &mut Call) {
        let mut came = false;
        for end in std::mem::take(&mut call.out_of_reach) {
            match self.flow_at(call, end) {
                Some(flow) if has_no_connection(&flow) => call.out_of_reach.push(end),
                Some(flow) => {
                    came = true;
                    match end {
                        End::Caller => call.caller.flow = flow,
                        End::Called => {
                            let index = call.winner.unwrap_or_default();
                            if let Some(target) = call.branches.get_mut(index).and_then(|own| own.target.as_mut()) {
                                target.flow = flow;
                            }
                        }
                    }
                }
                None => {}
            }
        }
        if came && call.ended {
            self.end(now, call, "", None);
        }
    }

    /// Whether a BYE for this end has to wait.
    pub(super) fn waits_for_reach(&mut self, now: Instant, call: &mut Call, end: End) -> bool {
        let waits =
            call.out_of_reach.contains(&end) && self.flow_at(call, end).is_some_and(|flow| has_no_connection(&flow));
        if waits {
            self.wake(call, now + REACH_TIME);
        }
        waits
    }

    /// It has waited long enough.
    pub(super) fn give_up_reach(&mut self, now: Instant, call: &mut Call) {
        if call.ended && !std::mem::take(&mut call.out_of_reach).is_empty() {
            self.end(now, call, "", None);
        }
    }

    fn flow_at(&self, call: &Call, end: End) -> Option<Flow> {
        self.dialog_at(call, end).and_then(|dialog| self.ua.target(dialog)).map(|target| target.flow)
    }
}

/// By UDP everybody is within reach.
fn has_no_connection(flow: &Flow) -> bool {
    flow.transport.is_reliable() && flow.connection == 0
}

/// Whether two Contacts are of one phone: parameters tell of the flow.
fn is_one_phone(one: &Uri, other: &Uri) -> bool {
    let (Some(one), Some(other)) = (one.as_sip(), other.as_sip()) else { return false };
    one.user == other.user && one.host.is_equivalent(&other.host) && one.port == other.port
}
