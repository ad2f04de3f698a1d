//! What a SIP call costs the server, and how long it keeps a caller waiting: calls that stay, and calls that come and go
//! beside them, all to `echo`, each challenged and with media keys of its own. See benches/README.md.

#[path = "../relay/account.rs"]
#[expect(dead_code, reason = "memory is what the other benchmark measures")]
mod account;
mod generator;
#[path = "../host.rs"]
mod host;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use sallyport_tests::server::Server;

use crate::generator::{Generator, Phase};
use crate::report::Measured;

/// How long the server may take to forget calls that were hung up.
const PATIENCE: Duration = Duration::from_secs(40);

/// Calls `echo` again and again and prints how long that takes and what it costs the server.
#[derive(Parser, Debug)]
struct Arguments {
    /// Sallyport's program.
    #[arg(long, value_name = "FILE")]
    sallyport: PathBuf,
    /// Few calls: checks that none fails and that nothing is left.
    #[arg(long)]
    smoke: bool,
    /// Fail unless 99 of 100 calls are answered within 100 ms.
    #[arg(long)]
    check: bool,
    /// Write the report to this file, too.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Calls that are set up first, and stay.
    #[arg(long, default_value_t = 1000)]
    calls: u32,
    /// How many of them are set up in a second.
    #[arg(long, default_value_t = 50.0)]
    setup_rate: f64,
    /// Calls a second that come and go beside them.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// For how many seconds.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Seconds that each of these lasts, from its 200 to its BYE.
    #[arg(long, default_value_t = 1.0)]
    hold: f64,
    /// Callers, with an address each.
    #[arg(long, default_value_t = 100)]
    callers: u16,
    /// Server and generator at a fixed priority (SCHED_FIFO), so that other work on the machine does not take their turns.
    /// Needs root.
    #[arg(long)]
    priority: bool,
}

impl Arguments {
    fn shrink(&mut self) {
        self.calls = 20;
        self.rate = 20.0;
        self.seconds = 2.0;
        self.hold = 0.2;
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sip-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let mut arguments = Arguments::parse();
    if arguments.smoke {
        arguments.shrink();
    }
    host::raise_descriptor_limit()?;
    let load = host::load_average();
    let server = start(&arguments.sallyport)?;
    let mut generator = Generator::new(server.sip()?, server.demo_password()?, arguments.callers)?;
    if arguments.priority {
        raise_priority(server.process_id())?;
        raise_priority(std::process::id())?;
    }
    let stay = Phase { name: "stay", calls: arguments.calls, rate: arguments.setup_rate, hold: None };
    let calls = (arguments.rate * arguments.seconds).round() as u32;
    let come_and_go =
        Phase { name: "come and go", calls, rate: arguments.rate, hold: Some(Duration::from_secs_f64(arguments.hold)) };
    let mut rows = Vec::new();
    for phase in [stay, come_and_go] {
        rows.push(measure(&server, &mut generator, phase)?);
        let calls = f64::from(arguments.calls);
        wait_for(&mut generator, &server, "sallyport_sip_calls", calls)
            .with_context(|| format!("calls {}", phase.name))?;
    }
    generator.hang_up_all()?;
    for left in ["sallyport_sip_calls", "sallyport_ports_in_use"] {
        wait_for(&mut generator, &server, left, 0.0)?;
    }
    let answered = server.metric("sallyport_sip_calls_answered_total", "")?;
    ensure!(answered == f64::from(arguments.calls + calls), "the server says that it has answered {answered} calls");
    let report = report::print(&rows, &load, arguments.callers, arguments.hold);
    host::say(&report);
    if let Some(path) = &arguments.output {
        std::fs::write(path, &report).with_context(|| path.display().to_string())?;
    }
    let mut complaints = report::failures(&rows);
    if arguments.check {
        complaints.append(&mut report::shortfalls(&rows));
    }
    complaints.iter().for_each(|complaint| eprintln!("sip-bench: {complaint}"));
    Ok(complaints.is_empty())
}

fn start(sallyport: &Path) -> anyhow::Result<Server> {
    let file = std::env::temp_dir().join(format!("sip-bench-{}.toml", std::process::id()));
    // The calls that stay say nothing, and each begin and end of a call would be a line.
    let text = "[timeouts]\nmedia = \"1h\"\n[log]\nlevel = \"warn\"\n[limits]\ncalls = 100000\n[sip]\ncalls = 50000\n";
    std::fs::write(&file, text)?;
    let config = file.to_str().context("a name in UTF-8")?;
    let server = Server::start_binary(sallyport, &["--media", "127.0.0.1", "--config", config]);
    std::fs::remove_file(&file)?;
    server
}

/// Gives all threads of a process a fixed priority.
fn raise_priority(process: u32) -> anyhow::Result<()> {
    let arguments = ["--fifo", "--all-tasks", "--pid", "1", &process.to_string()];
    let status = Command::new("chrt").args(arguments).status().context("chrt (Debian package util-linux)")?;
    ensure!(status.success(), "chrt: {status}: a fixed priority needs root");
    Ok(())
}

/// Plays a phase, with the server's processor time.
fn measure(server: &Server, generator: &mut Generator, phase: Phase) -> anyhow::Result<Measured> {
    let process = server.process_id();
    let (before, began) = (account::run_time(process)?, Instant::now());
    let outcome = generator.play(phase)?;
    let run_time = Duration::from_nanos(account::run_time(process)?.saturating_sub(before));
    Ok(Measured { phase, outcome, run_time, wall: began.elapsed() })
}

/// Until the server's metric has this value; meanwhile messages that were lost are sent again.
fn wait_for(generator: &mut Generator, server: &Server, metric: &str, value: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let is = server.metric(metric, "")?;
        if is == value {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{metric} stays at {is}, not at {value}");
        generator.idle(Duration::from_millis(100))?;
    }
}
