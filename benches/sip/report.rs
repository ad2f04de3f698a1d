//! The figures as Markdown, and whether they reach the goals.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::generator::{Outcome, Phase};
use crate::host;

/// 99 of 100 callers wait no longer from their first INVITE to the 200.
const GOAL: Duration = Duration::from_millis(100);

/// A phase, what became of it, and what it cost.
pub(crate) struct Measured {
    pub(crate) phase: Phase,
    pub(crate) outcome: Outcome,
    /// Of all threads of the server.
    pub(crate) run_time: Duration,
    pub(crate) wall: Duration,
}

pub(crate) fn print(rows: &[Measured], load: &str, callers: u16, hold: f64) -> String {
    let mut text = format!(
        "# SIP calls\n\n* command: `{}`\n* machine: {}\n* kernel: {}\n\
         * load of the machine before and after: {load}, {}\n\
         * calls of {callers} callers to `echo` over UDP, SDES, each with a challenge (SHA-256); those that come and go last {hold} s\n\n\
         *wait*: from a call's first INVITE to its 200, in milliseconds, at the caller; *with login*: from the INVITE with\n\
         credentials. *late*: how late the generator began its calls (p99), in milliseconds. *again*: messages that the\n\
         generator sent a second time. *processor*: run time of all threads of the server, of one processor; *a call*: by\n\
         call of the row, in microseconds.\n\n\
         | calls | number | a second | failed | again | wait p50 | wait p99 | longest | with login p50 | p99 | late | \
         processor | a call |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        host::command_line("sip"),
        host::machine(),
        host::kernel(),
        host::load_average(),
    );
    for row in rows {
        let Measured { phase, outcome, run_time, wall } = row;
        let of = |durations: &[Duration], share: f64| {
            percentile(durations, share).map_or("none".to_owned(), |found| format!("{:.1}", found.as_secs_f64() * 1e3))
        };
        let _ = writeln!(
            text,
            "| that {} | {} | {} | {} | {} | {} | **{}** | {} | {} | {} | {} | {:.1} % | {:.0} |",
            phase.name,
            phase.calls,
            phase.rate,
            outcome.failures.len(),
            outcome.repeated,
            of(&outcome.waits, 0.5),
            of(&outcome.waits, 0.99),
            of(&outcome.waits, 1.0),
            of(&outcome.answers, 0.5),
            of(&outcome.answers, 0.99),
            of(&outcome.lateness, 0.99),
            run_time.as_secs_f64() / wall.as_secs_f64() * 100.0,
            run_time.as_secs_f64() / f64::from(phase.calls) * 1e6,
        );
    }
    text
}

/// The least duration that this share of all does not exceed.
fn percentile(durations: &[Duration], share: f64) -> Option<Duration> {
    let mut sorted = durations.to_vec();
    sorted.sort();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Calls that failed, by reason, and what is missing.
pub(crate) fn failures(rows: &[Measured]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Measured { phase, outcome, .. } in rows {
        let mut reasons = BTreeMap::<&str, usize>::new();
        for reason in &outcome.failures {
            *reasons.entry(reason).or_default() += 1;
        }
        complaints
            .extend(reasons.iter().map(|(reason, count)| format!("calls that {}: {count} × {reason}", phase.name)));
        if outcome.waits.len() != phase.calls as usize {
            complaints.push(format!("calls that {}: {} of {} answered", phase.name, outcome.waits.len(), phase.calls));
        }
    }
    complaints
}

/// Goals that were missed.
pub(crate) fn shortfalls(rows: &[Measured]) -> Vec<String> {
    let late = rows.iter().filter(|row| percentile(&row.outcome.waits, 0.99).is_none_or(|wait| wait > GOAL));
    late.map(|row| format!("calls that {}: one of 100 waits for longer than {GOAL:?}", row.phase.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(waits: impl Iterator<Item = u64>, calls: u32, failures: &[&str]) -> Measured {
        Measured {
            phase: Phase { name: "stay", calls, rate: 1.0, hold: None },
            outcome: Outcome {
                waits: waits.map(Duration::from_millis).collect(),
                failures: failures.iter().map(|reason| (*reason).to_owned()).collect(),
                ..Outcome::default()
            },
            run_time: Duration::from_secs(1),
            wall: Duration::from_secs(2),
        }
    }

    #[test]
    fn one_of_a_hundred_may_be_late_and_two_may_not() {
        let waits = |late: u64| (0..100 - late).map(|_| 5).chain((0..late).map(|_| 101));
        assert!(shortfalls(&[measured(waits(1), 100, &[])]).is_empty());
        assert_eq!(shortfalls(&[measured(waits(2), 100, &[])]).len(), 1);
        assert_eq!(shortfalls(&[measured(0..0, 100, &[])]).len(), 1, "no call, no figure");
    }

    #[test]
    fn a_call_that_fails_or_is_missing_is_told() {
        assert!(failures(&[measured(0..3, 3, &[])]).is_empty());
        assert_eq!(
            failures(&[measured(0..2, 3, &["408", "408"])]),
            ["calls that stay: 2 × 408", "calls that stay: 2 of 3 answered"]
        );
    }
}
