//! The state machine: requests and events in, commands and replies out.

use std::collections::VecDeque;
use std::time::Instant;

use control::{Command, Event};

use crate::{
    CallSummary, CallView, Clocks, EndReason, LedgerEntry, Refusal, Reply, Request, SessionConfig, SessionStatistics,
    Token, WorkerId,
};

/// What the session wants done.
pub enum Output {
    /// For a worker of the pump. Commands for one worker must reach it in this order.
    Command(WorkerId, Command),
    /// For a front door. Every request gets exactly one.
    Reply(Token, Result<Reply, Refusal>),
    /// A call is gone: for the record.
    Ended {
        /// Its Call-ID.
        call_id: String,
        /// Why.
        reason: EndReason,
        /// What happened that bears on its security.
        ledger: Vec<LedgerEntry>,
    },
}

/// The call table and everything that negotiates.
pub struct Session {
    config: SessionConfig,
    clocks: Clocks,
    outputs: VecDeque<Output>,
}

impl Session {
    /// No calls yet. The seed must come from the operating system's random source: keys are made from it.
    pub fn new(config: SessionConfig, clocks: Clocks, _seed: [u8; 32]) -> Self {
        Self { config, clocks, outputs: VecDeque::new() }
    }

    /// A request of a front door. Its reply comes out of [`Session::poll_output`], at once or later.
    pub fn handle_request(&mut self, _now: Instant, token: Token, _request: Request) {
        self.outputs.push_back(Output::Reply(token, Err(Refusal::UnknownCallId)));
    }

    /// An event of a worker.
    pub fn handle_event(&mut self, _now: Instant, _worker: WorkerId, _event: Event) {}

    /// Time has passed: call at [`Session::poll_timeout`], or later.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When to call [`Session::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// What to do next. Call until `None` after every other call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Every call, oldest first.
    pub fn calls(&self) -> Vec<CallSummary> {
        Vec::new()
    }

    /// One call in full.
    pub fn call(&self, _call_id: &str) -> Option<CallView> {
        let _ = &self.config;
        None
    }

    /// Totals over all calls.
    pub fn statistics(&self, now: Instant) -> SessionStatistics {
        SessionStatistics { uptime: now.saturating_duration_since(self.clocks.instant), ..Default::default() }
    }
}
