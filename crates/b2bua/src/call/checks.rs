//! What policy says of keys, of sips URIs and of failures.

use sip::{Flow, Headers, Response, StatusCode, Warning, name};

use super::incoming::is_sips;
use super::{Call, Place};
use crate::{B2bua, Bridging, CleartextPolicy, Fact, headers};

impl B2bua {
    /// Whether keys in the clear are entered in the ledger.
    pub(crate) fn notes_cleartext(&self) -> bool {
        self.config.sdes_over_cleartext != CleartextPolicy::Allow
    }

    /// Keys in the clear, by policy.
    pub(crate) fn check_cleartext(&mut self, flow: &Flow) -> Result<(), Headers> {
        if flow.transport.is_secure() {
            return Ok(());
        }
        let policy = self.config.sdes_over_cleartext;
        let label = match policy {
            CleartextPolicy::Refuse => "refused",
            CleartextPolicy::Warn => "warned",
            CleartextPolicy::Allow => "allowed",
        };
        *self.counters.cleartext_keys.entry(label).or_default() += 1;
        match policy {
            CleartextPolicy::Refuse => {
                let why = format!(
                    "media keys over {} can be read by others: sip.sdes_over_cleartext is refuse",
                    flow.transport
                );
                return Err(self.warning(399, &why));
            }
            CleartextPolicy::Warn if self.warns_first(flow.peer.ip()) => {
                self.tell(Fact::CleartextKeys { peer: flow.peer, transport: flow.transport.as_str() });
            }
            CleartextPolicy::Warn | CleartextPolicy::Allow => {}
        }
        Ok(())
    }

    /// A sips URI promises TLS on every hop (RFC 5630 §4): it is neither given up nor made up on the way.
    pub(super) fn check_sips(
        &mut self,
        call: &mut Call,
        index: usize,
        flow: &Flow,
        uri: &sip::Uri,
    ) -> Result<(), (u16, &'static str)> {
        let (place, insecure, fault) = match (is_sips(call.request.uri()), is_sips(uri)) {
            (true, _) if !flow.transport.is_secure() => {
                (Place::Branch(index), flow.transport, (380, "SIPS Not Allowed"))
            }
            (_, true) if !call.caller.flow.transport.is_secure() => {
                (Place::Caller, call.caller.flow.transport, (381, "SIPS Required"))
            }
            _ => return Ok(()),
        };
        let allowed = self.config.sips_bridge == Bridging::Allow;
        *self.counters.sips.entry(if allowed { "bridged" } else { "refused" }).or_default() += 1;
        if !allowed {
            return Err(fault);
        }
        self.tell(Fact::SipsBridged { call: call.session.clone() });
        let words = format!("SIPS: signalling of this leg goes by {insecure}, which sip.sips_bridge allows");
        call.remarks.push((place, words));
        Ok(())
    }

    /// A Warning in our name.
    pub(crate) fn warning(&self, code: u16, text: &str) -> Headers {
        let mut headers = Headers::new();
        let agent = self.config.realm.clone();
        headers.push(name::WARNING, Warning { code, agent, text: text.to_owned() });
        headers
    }

    /// What the caller is told of the best failure of the branches.
    pub(super) fn failure_for_caller(&self, response: &Response) -> (StatusCode, Headers) {
        let status = response.status();
        let challenged = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        let relay = challenged && self.config.relay_challenges;
        let status = match status {
            // What we could not answer nobody behind us can: the digest covers what we rewrite.
            _ if challenged && !relay => StatusCode::FORBIDDEN,
            // It was our body, not the caller's, that the called party could not open.
            StatusCode::UNDECIPHERABLE => StatusCode::BAD_GATEWAY,
            // Where somebody went is not told, and not followed.
            status if status.class() == 3 => StatusCode::TEMPORARILY_UNAVAILABLE,
            status => status,
        };
        (status, self.of_failure(&response.headers, relay))
    }

    pub(super) fn of_failure(&self, from: &Headers, relay_challenges: bool) -> Headers {
        headers::of_failure(&self.config, from, relay_challenges)
    }
}
