//! Records of calls of SIP: what the session says of the media and what SIP says of the call come one after the other, and make one line.

use std::collections::HashMap;
use std::time::SystemTime;

use b2bua::{CallFacts, PartyFacts};
use explain::{Record, Signalling, SignallingParty};

use crate::records::Records;

/// Where records go, and halves of records that wait for their other half: no more than there are calls.
pub(super) struct CallRecords {
    records: Option<Records>,
    halves: HashMap<String, Half>,
}

enum Half {
    Media(Box<Record>),
    Signalling(Box<Signalling>),
}

impl CallRecords {
    pub(super) fn new(records: Option<Records>) -> Self {
        Self { records, halves: HashMap::new() }
    }

    /// Opens the file anew.
    pub(super) fn reopen(&self) {
        if let Some(records) = &self.records {
            records.reopen();
        }
    }

    /// Whether anything is written.
    pub(super) fn are_kept(&self) -> bool {
        self.records.is_some()
    }

    /// The media of a call have ended. `signalling_follows`: it is one of SIP, whose end is still to come.
    pub(super) fn media_ended(&mut self, call_id: &str, record: Record, signalling_follows: bool) {
        match self.halves.remove(call_id) {
            Some(Half::Signalling(signalling)) => self.write(&record.with(*signalling)),
            _ if signalling_follows => drop(self.halves.insert(call_id.to_owned(), Half::Media(Box::new(record)))),
            _ => self.write(&record),
        }
    }

    /// A call of SIP is over. `media_follow`: the end of its media is still to come.
    pub(super) fn signalling_ended(&mut self, facts: &CallFacts, media_follow: bool) {
        let signalling = signalling(facts);
        match self.halves.remove(&facts.call) {
            Some(Half::Media(record)) => self.write(&record.with(signalling)),
            _ if media_follow => {
                self.halves.insert(facts.call.clone(), Half::Signalling(Box::new(signalling)));
            }
            _ => self.write(&Record::without_media(&facts.call, signalling)),
        }
    }

    fn write(&self, record: &Record) {
        if let Some(records) = &self.records {
            records.write(record);
        }
    }
}

impl Drop for CallRecords {
    fn drop(&mut self) {
        for (call_id, half) in std::mem::take(&mut self.halves) {
            match half {
                Half::Media(record) => self.write(&record),
                Half::Signalling(signalling) => self.write(&Record::without_media(&call_id, *signalling)),
            }
        }
    }
}

/// As it stands in records and on pages.
pub(super) fn signalling(facts: &CallFacts) -> Signalling {
    let CallFacts { call: _, uri, route, caller, called, times, status, ended_by, why, transfers } = facts;
    Signalling {
        uri: uri.clone(),
        route: route.clone(),
        caller: party(caller),
        called: called.iter().map(party).collect(),
        invited: epoch_seconds(times.invited),
        ringing: times.ringing.map(epoch_seconds),
        answered: times.answered.map(epoch_seconds),
        ended: times.ended.map(epoch_seconds),
        status: status.map(|status| status.code()),
        ended_by: ended_by.map(|by| by.as_str()),
        why: why.clone(),
        transfers: *transfers,
    }
}

fn party(facts: &PartyFacts) -> SignallingParty {
    let PartyFacts { user, trunk, uri, call_id, flow, status } = facts;
    SignallingParty {
        user: user.clone(),
        trunk: trunk.clone(),
        uri: uri.clone(),
        call_id: call_id.clone(),
        transport: flow.map(|(transport, _)| transport.as_str()),
        address: flow.map(|(_, address)| address.to_string()),
        status: status.map(|status| status.code()),
    }
}

fn epoch_seconds(moment: SystemTime) -> f64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
