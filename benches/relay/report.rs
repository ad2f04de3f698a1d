//! The figures as Markdown, and whether they reach the goals.

use std::fmt::Write;
use std::time::Duration;

use crate::host;
use crate::memory::{Measured, PerCall};
use crate::relays::Kind;
use crate::rows::{Bench, Outcome, Row, Sample};

/// At most this share of rtpengine's processor time by packet, in every row.
const GOAL_RATIO: f64 = 0.5;
/// At most this many bytes for a call between DTLS-SRTP and SDES.
const GOAL_BYTES: f64 = 32.0 * 1024.0;

/// Medians of a row's repetitions.
struct Medians {
    relay: f64,
    softirq: f64,
    median_delay: f64,
    late_delay: f64,
    batch: Option<f64>,
    system_calls: Option<f64>,
}

impl Medians {
    fn of(outcome: &Outcome) -> Option<Self> {
        if outcome.is_void {
            return None;
        }
        let over = |of: fn(&Sample) -> f64| median(outcome.samples.iter().map(of).collect());
        Some(Self {
            relay: over(|sample| sample.relay)?,
            softirq: over(|sample| sample.softirq)?,
            median_delay: over(|sample| microseconds(sample.median_delay))?,
            late_delay: over(|sample| microseconds(sample.late_delay))?,
            batch: median(outcome.samples.iter().filter_map(|sample| sample.batch).collect()),
            system_calls: median(outcome.samples.iter().filter_map(|sample| sample.system_calls).collect()),
        })
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}

/// Sallyport's share of rtpengine's run time by packet; `None` where a row is void.
fn ratio(row: &Row) -> Option<f64> {
    Some(Medians::of(&row.sallyport)?.relay / Medians::of(&row.rtpengine)?.relay)
}

/// What the figures miss; empty when all goals are reached.
pub(crate) fn shortfalls(rows: &[Row], memory: &[PerCall]) -> Vec<String> {
    let mut shortfalls = Vec::new();
    for row in rows {
        match ratio(row) {
            Some(ratio) if ratio <= GOAL_RATIO => {}
            Some(ratio) => shortfalls.push(format!("{}, {}: ratio {ratio:.2}", row.name, row.load.name())),
            None => shortfalls.push(format!("{}, {}: void", row.name, row.load.name())),
        }
    }
    let dtls = memory.iter().filter(|cost| cost.measured == Measured::DtlsToSdes && cost.total() > GOAL_BYTES);
    shortfalls.extend(dtls.map(|cost| format!("a DTLS to SDES call takes {:.0} bytes", cost.total())));
    shortfalls
}

/// What is wrong with the measurement itself; for a run too short to say more.
pub(crate) fn absurdities(rows: &[Row], memory: &[PerCall]) -> Vec<String> {
    let mut absurdities = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            absurdities.push(what);
        }
    };
    for row in rows {
        let name = format!("{}, {}", row.name, row.load.name());
        for (relay, outcome) in [("Sallyport", &row.sallyport), ("rtpengine", &row.rtpengine)] {
            let Some(medians) = Medians::of(outcome) else {
                expect(false, format!("{name}: {relay} lost packets"));
                continue;
            };
            // From less than any system call to more than a thread's whole time at this rate.
            expect((200.0..1_000_000.0).contains(&medians.relay), format!("{name}: {relay} {} ns", medians.relay));
            let delays = medians.median_delay > 0.0 && medians.median_delay <= medians.late_delay;
            expect(delays, format!("{name}: {relay} delays {} µs", medians.median_delay));
        }
        let batch = Medians::of(&row.sallyport).and_then(|medians| medians.batch);
        expect(batch.is_none_or(|batch| batch >= 1.0), format!("{name}: batches of {batch:?}"));
    }
    for cost in memory {
        let sane = cost.sockets > 1000.0 && (0.0..1_000_000.0).contains(&cost.resident);
        expect(sane, format!("{:?} on {}: {:.0} bytes", cost.measured, cost.kind.name(), cost.total()));
    }
    absurdities
}

/// The whole report.
pub(crate) fn print(bench: &Bench, rows: &[Row], memory: &[PerCall], load: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "# Sallyport beside rtpengine\n")?;
    writeln!(text, "* command: `{}`", host::command_line("relay"))?;
    writeln!(text, "* Sallyport: {}", bench.programs.version(Kind::Sallyport)?)?;
    writeln!(text, "* rtpengine: {}", bench.programs.version(Kind::Rtpengine)?)?;
    writeln!(text, "* machine: {}", host::machine())?;
    writeln!(text, "* kernel: {}", host::kernel())?;
    writeln!(text, "* load of the machine before and after: {load}, {}", host::load_average())?;
    writeln!(
        text,
        "* {} calls, one direction; {:.0} packets a second in bursts of {}, {:.0} paced; {} repetitions of {:.1} s, medians\n",
        bench.calls,
        bench.burst_rate,
        bench.burst,
        bench.paced_rate,
        bench.repetitions,
        bench.duration.as_secs_f64(),
    )?;
    writeln!(
        text,
        "Nanoseconds are by packet that the sink authenticated. *relay*: run time of all threads of the relay."
    )?;
    writeln!(text, "*softirq*: receiving in the kernel, paid by the generator. *ratio*: Sallyport's relay column by")?;
    writeln!(
        text,
        "rtpengine's. *delay*: from before the call that sends to the sink's interface, in microseconds.\n"
    )?;
    writeln!(
        text,
        "| calls | load | relay of | relay ns | softirq ns | delay p50 | delay p99 | packets a batch | system calls a packet | ratio |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|---|")?;
    for row in rows {
        for (kind, outcome) in [(Kind::Sallyport, &row.sallyport), (Kind::Rtpengine, &row.rtpengine)] {
            write!(text, "| {} | {} | {} ", row.name, row.load.name(), kind.name())?;
            let Some(medians) = Medians::of(outcome) else {
                let worst = outcome.discarded.iter().map(|sample| sample.authentic as f64 / sample.sent as f64);
                let worst = worst.fold(1.0, f64::min) * 100.0;
                writeln!(text, "| void: only {worst:.2} % of the packets arrived | | | | | | |")?;
                continue;
            };
            write!(text, "| {:.0} | {:.0} ", medians.relay, medians.softirq)?;
            write!(text, "| {:.0} | {:.0} ", medians.median_delay, medians.late_delay)?;
            let figure = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
            write!(text, "| {} | {} ", figure(medians.batch), figure(medians.system_calls))?;
            let ratio = ratio(row).filter(|_| kind == Kind::Sallyport);
            writeln!(text, "| {} |", ratio.map_or(String::new(), |ratio| format!("**{ratio:.2}**")))?;
        }
    }
    let discarded: usize = rows.iter().map(|row| row.sallyport.discarded.len() + row.rtpengine.discarded.len()).sum();
    if discarded > 0 {
        writeln!(text, "\nRepetitions discarded for a loss and made again: {discarded}.")?;
    }
    if !memory.is_empty() {
        writeln!(
            text,
            "\nMemory that a call adds, with media both ways, in bytes. *resident*: of the process. *sockets*:"
        )?;
        writeln!(text, "what the kernel keeps for its sockets.\n")?;
        writeln!(text, "| calls | relay | from | to | resident | sockets | total |\n|---|---|---|---|---|---|---|")?;
        for cost in memory {
            let name = match cost.measured {
                Measured::PlainToSdes => "plain to SDES",
                Measured::DtlsToSdes => "DTLS to SDES",
            };
            writeln!(
                text,
                "| {name} | {} | {} | {} | {:.0} | {:.0} | {:.0} |",
                cost.kind.name(),
                cost.from,
                cost.to,
                cost.resident,
                cost.sockets,
                cost.total()
            )?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Load;

    fn sample(relay: f64) -> Sample {
        Sample {
            sent: 100,
            authentic: 100,
            rejected: 0,
            relay,
            softirq: 400.0,
            median_delay: Duration::from_micros(50),
            late_delay: Duration::from_micros(90),
            batch: Some(4.0),
            system_calls: Some(2.0),
        }
    }

    fn outcome(relay: &[f64], is_void: bool) -> Outcome {
        Outcome { samples: relay.iter().map(|&relay| sample(relay)).collect(), discarded: Vec::new(), is_void }
    }

    fn row(sallyport: &[f64], is_void: bool) -> Row {
        Row {
            name: "plain to x".into(),
            load: Load::Paced,
            sallyport: outcome(sallyport, is_void),
            rtpengine: outcome(&[4000.0, 9000.0, 5000.0], false),
        }
    }

    #[test]
    fn the_ratio_is_one_of_medians_and_a_void_row_has_none() {
        assert_eq!(ratio(&row(&[2400.0, 2000.0, 9000.0], false)), Some(0.48));
        assert_eq!(ratio(&row(&[2000.0, 3000.0], false)), Some(0.5));
        assert_eq!(ratio(&row(&[2000.0], true)), None);
    }

    #[test]
    fn goals_that_are_missed_are_named() {
        let memory = |resident| PerCall {
            kind: Kind::Sallyport,
            measured: Measured::DtlsToSdes,
            from: 1,
            to: 2,
            resident,
            sockets: 8192.0,
        };
        assert!(shortfalls(&[row(&[2500.0], false)], &[memory(24_576.0)]).is_empty());
        let missed = shortfalls(&[row(&[2600.0], false), row(&[2000.0], true)], &[memory(24_577.0)]);
        assert_eq!(missed.len(), 3, "{missed:?}");
    }

    #[test]
    fn a_run_with_a_loss_or_an_impossible_figure_is_absurd() {
        assert!(absurdities(&[row(&[2000.0], false)], &[]).is_empty());
        assert_eq!(absurdities(&[row(&[2000.0], true)], &[]).len(), 1);
        assert_eq!(absurdities(&[row(&[0.0], false)], &[]).len(), 1);
    }
}
