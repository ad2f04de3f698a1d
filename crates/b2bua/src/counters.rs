//! What is counted.

use std::collections::BTreeMap;

/// Totals since the start. All labels are of bounded variety.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Calls that came in.
    pub calls: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Final responses to callers that were no 2xx, by status code.
    pub failures: BTreeMap<u16, u64>,
    /// Registrations that were accepted, refreshes included.
    pub registrations: u64,
    /// Requests that were challenged.
    pub challenges: u64,
    /// Wrong credentials, by what was wrong.
    pub rejected_credentials: BTreeMap<&'static str, u64>,
    /// Logins that were accepted, by algorithm.
    pub logins: BTreeMap<String, u64>,
    /// Requests of sources that are barred for wrong passwords.
    pub barred: u64,
    /// SDES keys over signalling that others can read, by what became of them: `refused`, `warned`, `allowed`.
    pub cleartext_keys: BTreeMap<&'static str, u64>,
    /// Calls to sips URIs that were refused for want of TLS, or bridged.
    pub sips: BTreeMap<&'static str, u64>,
    /// Offers inside of calls that were refused, either by a peer or by us.
    pub refused_offers: u64,
    /// Calls that were refused because there were too many.
    pub overload: u64,
    /// Calls of a user or a trunk that had as many as it may have: `user`, `trunk`.
    pub limited: BTreeMap<&'static str, u64>,
    /// Calls that nobody had answered when they had rung as long as a call may.
    pub ring_timeouts: u64,
    /// New keys that were made because one was nearly spent.
    pub rekeyings: u64,
    /// Bodies with S/MIME, by what was done and how it came out: `signature` with `verified` or why not, `opened` and its cipher,
    /// `refused` and `ignored` with the reason, `sent` and `not_sent`.
    pub smime: BTreeMap<(&'static str, &'static str), u64>,
    /// Transfers that were carried out.
    pub transfers: u64,
}

impl Counters {
    pub(crate) fn count_smime(&mut self, what: &'static str, result: &'static str) {
        *self.smime.entry((what, result)).or_default() += 1;
    }
}
