//! Timers and states of the client transactions.
//!
//! ```text
//! INVITE       Calling ──1xx──► Proceeding ──300-699──► Completed (D) ──► over      ACK for every 300-699
//!                 └──2xx──────────┴──2xx──► Accepted (M) ──► over                    every 2xx goes up
//! non-INVITE   Calling ──1xx──► Proceeding ──200-699──► Completed (K) ──► over
//! ```

use super::TransactionConfig;
use crate::StatusCode;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// `Calling`, or `Trying` of a non-INVITE transaction.
    Calling,
    Proceeding,
    Completed,
    /// RFC 6026 §7.2.
    Accepted,
}

pub(super) struct ClientMachine {
    pub(super) invite: bool,
    reliable: bool,
    pub(super) state: State,
    interval: Duration,
    retransmit_at: Option<Instant>,
    /// B or F, then C, then D, K or M; 64·T1 after a CANCEL.
    ends_at: Option<Instant>,
    cancelled: bool,
    config: TransactionConfig,
}

/// What a response asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reaction {
    pub(super) pass: bool,
    pub(super) acknowledge: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expiry {
    Retransmit,
    /// Timer C: cancel, and wait on.
    Cancel,
    TimedOut,
    Over,
}

impl ClientMachine {
    pub(super) fn new(invite: bool, reliable: bool, now: Instant, config: TransactionConfig) -> Self {
        Self {
            invite,
            reliable,
            state: State::Calling,
            interval: config.t1,
            // Timers A and E.
            retransmit_at: (!reliable).then(|| now + config.t1),
            // Timers B and F.
            ends_at: Some(now + config.t1 * 64),
            cancelled: false,
            config,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retransmit_at.into_iter().chain(self.ends_at).min()
    }

    pub(super) fn handle_response(&mut self, now: Instant, status: StatusCode) -> Reaction {
        let fresh = matches!(self.state, State::Calling | State::Proceeding);
        if status.is_provisional() {
            if fresh {
                self.handle_provisional(now, status);
            }
            return Reaction { pass: fresh, acknowledge: false };
        }
        if self.invite && status.is_success() {
            if fresh {
                self.end_in(State::Accepted, now + self.config.t1 * 64);
            }
            // In Completed a 2xx is from another branch of a fork, after the failure was told: nobody waits for it.
            return Reaction { pass: self.state == State::Accepted, acknowledge: false };
        }
        let acknowledge = self.invite && self.state != State::Accepted;
        if fresh {
            // Timer D is at least 32 s, Timer K is T4; both are 0 over a reliable transport.
            let linger = match (self.reliable, self.invite) {
                (true, _) => Duration::ZERO,
                (false, true) => (self.config.t1 * 64).max(Duration::from_secs(32)),
                (false, false) => self.config.t4,
            };
            self.end_in(State::Completed, now + linger);
        }
        Reaction { pass: fresh, acknowledge }
    }

    fn handle_provisional(&mut self, now: Instant, status: StatusCode) {
        let first = self.state == State::Calling;
        self.state = State::Proceeding;
        if !self.invite {
            // §17.1.2.2: Timer E goes on at T2, Timer F stays.
            if !self.reliable && first {
                self.interval = self.config.t2;
                self.retransmit_at = Some(now + self.config.t2);
            }
        } else {
            self.retransmit_at = None;
            // Timer C is reset by everything but 100 (§16.7 step 2).
            if !self.cancelled && (first || status != StatusCode::TRYING) {
                self.ends_at = Some(now + self.config.timer_c);
            }
        }
    }

    fn end_in(&mut self, state: State, at: Instant) {
        self.state = state;
        self.retransmit_at = None;
        self.ends_at = Some(at);
    }

    /// The CANCEL is on its way: the final response is awaited for 64·T1 (§9.1).
    pub(super) fn cancel_sent(&mut self, now: Instant) {
        self.cancelled = true;
        self.ends_at = Some(now + self.config.t1 * 64);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Expiry> {
        if self.ends_at.is_some_and(|at| at <= now) {
            self.ends_at = None;
            return Some(match self.state {
                State::Calling => Expiry::TimedOut,
                State::Proceeding if self.invite && !self.cancelled => Expiry::Cancel,
                State::Proceeding => Expiry::TimedOut,
                State::Completed | State::Accepted => Expiry::Over,
            });
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            self.interval *= 2;
            if !self.invite {
                self.interval = self.interval.min(self.config.t2);
            }
            self.retransmit_at = Some(now + self.interval);
            return Some(Expiry::Retransmit);
        }
        None
    }
}
