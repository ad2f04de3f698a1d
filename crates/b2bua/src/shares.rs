//! How many calls one user or one trunk may have at a time.

use std::collections::{HashMap, HashSet};

use crate::call::{Branch, Call, CallNumber, Spec};
use crate::routes::Caller;
use crate::{B2bua, B2buaConfig};

/// Which calls a user or a trunk takes part in, or has taken part in: they are looked through only where there is a limit.
#[derive(Default)]
pub(crate) struct Shares(HashMap<Caller, HashSet<CallNumber>>);

impl Shares {
    pub(crate) fn enter(&mut self, party: Caller, call: CallNumber) {
        self.0.entry(party).or_default().insert(call);
    }

    /// The call is over.
    pub(crate) fn leave<'a>(&mut self, parties: impl Iterator<Item = &'a Caller>, call: CallNumber) {
        for party in parties {
            let Some(calls) = self.0.get_mut(party) else { continue };
            calls.remove(&call);
            if calls.is_empty() {
                self.0.remove(party);
            }
        }
    }

    pub(crate) fn of(&self, party: &Caller) -> impl Iterator<Item = CallNumber> {
        self.0.get(party).into_iter().flatten().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Spec {
    /// Who is called by it, where that is somebody of ours.
    pub(crate) fn party(&self) -> Option<Caller> {
        self.trunk.clone().map(Caller::Trunk).or_else(|| self.user.clone().map(Caller::User))
    }
}

impl Call {
    /// Its legs that this party has, ringing ones included. A user whom several phones ring for has one.
    pub(crate) fn share_of(&self, party: &Caller) -> usize {
        let as_caller = usize::from(self.who.as_ref() == Some(party) && !self.caller.over && !self.ended);
        let lives = |index: usize, branch: &Branch| !branch.over || (self.winner == Some(index) && !self.ended);
        let branches = self.branches.iter().enumerate();
        let as_called = branches.filter(|(index, own)| lives(*index, own) && own.spec.party().as_ref() == Some(party));
        as_caller
            + match party {
                Caller::User(_) => as_called.count().min(1),
                Caller::Trunk(_) => as_called.count(),
            }
    }
}

impl B2buaConfig {
    /// How many calls this party may have at a time.
    pub(crate) fn share(&self, party: &Caller) -> Option<usize> {
        match party {
            Caller::User(_) => self.max_calls_per_user,
            Caller::Trunk(name) => self.trunk(name)?.max_calls,
        }
    }
}

impl B2bua {
    /// This user or trunk takes part in a call.
    pub(crate) fn takes_part(&mut self, call: &mut Call, party: Caller) {
        self.shares.enter(party.clone(), call.number);
        if !call.parties.contains(&party) {
            call.parties.push(party);
        }
    }

    /// Whether a user or trunk may have the legs that it has in this call beside those of other calls.
    pub(crate) fn has_room(&mut self, party: &Caller, in_this: usize) -> bool {
        let Some(most) = self.config.share(party) else { return true };
        let others = self.shares.of(party).filter_map(|number| self.calls.get(&number));
        if others.map(|call| call.share_of(party)).sum::<usize>() + in_this <= most {
            return true;
        }
        let label = if matches!(party, Caller::User(_)) { "user" } else { "trunk" };
        *self.counters.limited.entry(label).or_default() += 1;
        false
    }
}
