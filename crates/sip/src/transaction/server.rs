//! Timers and states of the server transactions.
//!
//! ```text
//! INVITE       Proceeding ──300-699──► Completed (G, H) ──ACK──► Confirmed (I) ──► over
//!                  └──2xx──► Accepted (L) ──► over               repeated INVITEs and ACKs of the 2xx
//! non-INVITE   Proceeding ──200-699──► Completed (J) ──► over    100 only, and late (RFC 4320)
//! ```

use super::{TransactionConfig, TransactionError};
use crate::StatusCode;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// `Proceeding`, and `Trying` of a non-INVITE transaction.
    Proceeding,
    Completed,
    Confirmed,
    /// RFC 6026 §7.1.
    Accepted,
}

pub(super) struct ServerMachine {
    pub(super) invite: bool,
    reliable: bool,
    pub(super) state: State,
    interval: Duration,
    /// G.
    retransmit_at: Option<Instant>,
    /// When 100 goes out if nothing else did.
    trying_at: Option<Instant>,
    /// 64·T1 to answer a non-INVITE request, then H or J, I or L.
    ends_at: Option<Instant>,
    config: TransactionConfig,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expiry {
    Trying,
    Retransmit,
    Failed,
    Over,
}

impl ServerMachine {
    pub(super) fn new(invite: bool, reliable: bool, now: Instant, config: TransactionConfig) -> Self {
        let trying_after = if invite { config.trying_after } else { time_to_t2(&config) };
        Self {
            invite,
            reliable,
            state: State::Proceeding,
            interval: config.t1,
            retransmit_at: None,
            trying_at: Some(now + trying_after),
            ends_at: (!invite).then(|| now + config.t1 * 64),
            config,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retransmit_at.into_iter().chain(self.trying_at).chain(self.ends_at).min()
    }

    /// Whether this response may go out. It then does, and the state follows it.
    pub(super) fn handle_reply(&mut self, now: Instant, status: StatusCode) -> Result<(), TransactionError> {
        match self.state {
            State::Proceeding => {}
            // The user repeats its 2xx until the ACK (RFC 6026 §7.1).
            State::Accepted if status.is_success() => return Ok(()),
            _ => return Err(TransactionError::NotAllowed),
        }
        if !self.invite {
            // RFC 4320 §4.1 and §4.2.
            let early = status == StatusCode::TRYING && !self.reliable && self.trying_at.is_some_and(|at| now < at);
            let provisional = status.is_provisional() && status != StatusCode::TRYING;
            if early || provisional || status == StatusCode::REQUEST_TIMEOUT {
                return Err(TransactionError::NotAllowed);
            }
        }
        self.trying_at = None;
        if status.is_provisional() {
            return Ok(());
        }
        if self.invite && status.is_success() {
            self.state = State::Accepted;
            self.ends_at = Some(now + self.config.t1 * 64);
            return Ok(());
        }
        self.state = State::Completed;
        if self.invite {
            self.retransmit_at = (!self.reliable).then(|| now + self.config.t1);
            self.ends_at = Some(now + self.config.t1 * 64);
        } else {
            self.ends_at = Some(if self.reliable { now } else { now + self.config.t1 * 64 });
        }
        Ok(())
    }

    /// An ACK that belongs to this INVITE; true if it is the end of it, false if it is for the user.
    pub(super) fn handle_ack(&mut self, now: Instant) -> bool {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                self.retransmit_at = None;
                self.ends_at = Some(if self.reliable { now } else { now + self.config.t4 });
                true
            }
            State::Accepted => false,
            State::Proceeding | State::Confirmed => true,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Expiry> {
        if self.ends_at.is_some_and(|at| at <= now) {
            self.ends_at = None;
            return Some(match self.state {
                State::Proceeding => Expiry::Failed,
                State::Completed if self.invite => Expiry::Failed,
                _ => Expiry::Over,
            });
        }
        if self.trying_at.is_some_and(|at| at <= now) {
            self.trying_at = None;
            return Some(Expiry::Trying);
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            self.interval = (self.interval * 2).min(self.config.t2);
            self.retransmit_at = Some(now + self.interval);
            return Some(Expiry::Retransmit);
        }
        None
    }
}

/// When a client's Timer E reaches T2 (RFC 4320 §4.1).
fn time_to_t2(config: &TransactionConfig) -> Duration {
    let (mut elapsed, mut interval) = (Duration::ZERO, config.t1.max(Duration::from_millis(1)));
    while interval < config.t2 {
        elapsed += interval;
        interval *= 2;
    }
    elapsed
}
