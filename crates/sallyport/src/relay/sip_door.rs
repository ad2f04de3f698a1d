//! SIP: the back-to-back user agent between its sockets and the session.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use admin::{Labelled, SipSnapshot};
use b2bua::{B2bua, Output, Severity};
use session::{Refusal, Reply, Token};
use sip::{Target, Uri};
use sip_transport::{Inbound, Inbox, Refusal as TransportRefusal, Security, Transports};
use tokio::sync::mpsc;

use super::Relay;
use crate::sip_smime;

/// Tokens of the back-to-back user agent lie between those of the ng protocol and our own.
pub(super) const FIRST_SIP_TOKEN: u64 = 1 << 62;

/// The transports as labels, in the order of [`sip_transport::TRANSPORTS`].
const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];

/// Look-ups whose answers may wait for the relay.
const LOOKUPS: usize = 1024;

/// A look-up that takes longer has found nothing.
const LOOKUP_TIME: Duration = Duration::from_secs(10);

/// A BYE to a call that is not known yet would be told that there is none. So messages wait in their sockets and queues for the
/// calls to be taken over; without a media half no longer than this.
const TAKEOVER_TIME: Duration = Duration::from_secs(5);

/// SIP as it is served.
pub(super) struct SipDoor {
    pub(super) b2bua: B2bua,
    pub(super) transports: Transports,
    lookups: mpsc::Sender<Located>,
    /// Nobody is listened to before the calls of a process before this one are known, or this time has come.
    deaf_until: Instant,
}

/// What SIP brings to the relay.
pub(super) struct SipInbox {
    messages: Inbox,
    located: mpsc::Receiver<Located>,
}

/// The answer to a question where a URI is.
pub(super) struct Located(b2bua::LookupId, Result<Vec<Target>, String>);

/// What SIP brings.
pub(super) enum SipEvent {
    Inbound(Box<Inbound>),
    Located(Located),
}

impl SipDoor {
    pub(super) fn new(b2bua: B2bua, transports: Transports, messages: Inbox) -> (Self, SipInbox) {
        let (lookups, located) = mpsc::channel(LOOKUPS);
        let deaf_until = Instant::now() + TAKEOVER_TIME;
        (Self { b2bua, transports, lookups, deaf_until }, SipInbox { messages, located })
    }

    pub(super) fn handle(&mut self, now: Instant, event: SipEvent) {
        self.b2bua.set_clocks(sip_smime::clocks());
        match event {
            SipEvent::Inbound(inbound) => self.handle_inbound(now, *inbound),
            SipEvent::Located(Located(lookup, targets)) => self.b2bua.handle_located(now, lookup, targets),
        }
    }

    fn handle_inbound(&mut self, now: Instant, inbound: Inbound) {
        match inbound {
            Inbound::Message { flow, message, identity } => {
                if let Some(identity) = identity {
                    self.b2bua.handle_identity(flow.connection, identity.domains().to_vec());
                }
                self.b2bua.handle_message(now, message, flow);
            }
            Inbound::SendFailed { transaction } => self.b2bua.handle_transport_error(now, transaction),
            Inbound::FlowClosed { flow } => self.b2bua.handle_connection_closed(now, flow.connection),
        }
    }

    /// What the session told that is for SIP.
    pub(super) fn handle_reply(&mut self, token: Token, reply: Result<Reply, Refusal>) {
        self.b2bua.handle_reply(Instant::now(), token, reply);
    }

    /// A call goes on that a process before this one has made.
    pub(super) fn handle_restored(&mut self, now: Instant, call_id: &str, state: &[u8]) {
        self.b2bua.set_clocks(sip_smime::clocks());
        self.b2bua.handle_restored(now, call_id, state);
    }

    pub(super) fn owns(token: Token) -> bool {
        (FIRST_SIP_TOKEN..super::FIRST_OWN_TOKEN).contains(&token.0)
    }

    fn locate(&self, lookup: b2bua::LookupId, uri: Uri) {
        let (transports, answers) = (self.transports.clone(), self.lookups.clone());
        tokio::spawn(async move {
            let found = match uri.as_sip() {
                Some(uri) => match tokio::time::timeout(LOOKUP_TIME, transports.locate(uri, Security::AsAsked)).await {
                    Ok(Ok(targets)) => Ok(targets),
                    Ok(Err(error)) => Err(format!("{}: {error}", uri.host)),
                    Err(_) => Err(format!("{}: the look-up takes too long", uri.host)),
                },
                None => Err("it is no SIP URI".to_owned()),
            };
            // Without the relay there is nobody to tell.
            let _ = answers.send(Located(lookup, found)).await;
        });
    }

    /// For the metrics page. What can be counted is there from the start, so that rates begin at zero.
    pub(super) fn snapshot(&self) -> SipSnapshot {
        let (calls, contacts) = self.b2bua.len();
        let counters = self.b2bua.counters();
        let stats = self.transports.stats();
        let by_transport = |counts: [u64; 5]| -> Vec<Labelled<1>> {
            TRANSPORTS.into_iter().zip(counts).map(|(name, count)| Labelled { labels: [name], count }).collect()
        };
        let with_direction = |counts: [u64; 5], direction: &'static str| {
            TRANSPORTS.into_iter().zip(counts).map(move |(name, count)| Labelled { labels: [name, direction], count })
        };
        let all = |counts: &BTreeMap<&'static str, u64>, labels: &[&'static str]| {
            let of =
                |label: &&'static str| Labelled { labels: [*label], count: counts.get(label).copied().unwrap_or(0) };
            labels.iter().map(of).collect()
        };
        SipSnapshot {
            calls: calls as u64,
            contacts: contacts as u64,
            calls_received: counters.calls,
            calls_answered: counters.answered,
            failures: counters.failures.iter().map(|(&status, &count)| (status, count)).collect(),
            registrations: counters.registrations,
            challenges: counters.challenges,
            logins: counters.logins.iter().map(|(algorithm, &count)| (algorithm.clone(), count)).collect(),
            rejected_credentials: all(
                &counters.rejected_credentials,
                &["malformed", "algorithm_not_offered", "qop_not_offered", "mismatch"],
            ),
            barred: counters.barred,
            cleartext_keys: all(&counters.cleartext_keys, &["refused", "warned", "allowed"]),
            sips: all(&counters.sips, &["refused", "bridged"]),
            refused_offers: counters.refused_offers,
            overload: counters.overload,
            limited: all(&counters.limited, &["user", "trunk"]),
            ring_timeouts: counters.ring_timeouts,
            rekeyings: counters.rekeyings,
            connections: by_transport(stats.connections),
            messages: with_direction(stats.messages_in, "in")
                .chain(with_direction(stats.messages_out, "out"))
                .collect(),
            send_failures: by_transport(stats.send_failures),
            refusals: TransportRefusal::ALL
                .into_iter()
                .map(|reason| Labelled { labels: [reason.as_str()], count: stats.refusals(reason) })
                .collect(),
            smime: counters
                .smime
                .iter()
                .map(|(&(what, result), &count)| Labelled { labels: [what, result], count })
                .collect(),
        }
    }
}

impl SipInbox {
    /// What comes next; never, where there is no SIP.
    pub(super) async fn next(inbox: &mut Option<Self>) -> SipEvent {
        let Some(inbox) = inbox else { return std::future::pending().await };
        loop {
            tokio::select! {
                Some(inbound) = inbox.messages.recv() => return SipEvent::Inbound(Box::new(inbound)),
                Some(located) = inbox.located.recv() => return SipEvent::Located(located),
                else => std::future::pending::<()>().await,
            }
        }
    }
}

impl Relay {
    /// When SIP is listened to from; `None`: it is.
    pub(super) fn sip_waits_until(&self) -> Option<Instant> {
        let until = self.sip.as_ref().map(|door| door.deaf_until)?;
        (!self.session.is_media_here() && Instant::now() < until).then_some(until)
    }

    /// Does what the back-to-back user agent wants done. False: nothing.
    pub(super) fn carry_out_sip(&mut self) -> bool {
        let Some(door) = &mut self.sip else { return false };
        let mut asked = false;
        while let Some(output) = door.b2bua.poll_output() {
            match output {
                Output::Transmit(transmit) => door.transports.send(transmit),
                Output::Session(token, request) => {
                    asked = true;
                    self.session.handle_request(Instant::now(), token, *request);
                }
                Output::Locate { lookup, uri } => door.locate(lookup, uri),
                Output::Over(facts) => {
                    if self.records.are_kept() {
                        let media_follow = self.session.is_ending(&facts.call);
                        self.records.signalling_ended(&facts, media_follow);
                    }
                }
                Output::Log(fact) => match fact.severity() {
                    Severity::Debug => tracing::debug!("{fact}"),
                    Severity::Info => tracing::info!("{fact}"),
                    Severity::Warn => tracing::warn!("{fact}"),
                },
            }
        }
        asked
    }
}
