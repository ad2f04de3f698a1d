//! One call through a server of its own: a WebRTC endpoint and an SDES phone talk for ten seconds; then a report.
//! Ends with status 0 only when every packet of both directions arrived, authentic.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sallyport_tests::call::WebToPhone;
use sallyport_tests::server::Server;
use sallyport_tests::tally::Summary;
use serde_json::Value;

const USAGE: &str = "usage: demo --server BINARY [--seconds N] [--suite SDES-SUITE]";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    server: PathBuf,
    seconds: u64,
    suite: String,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options { server: PathBuf::new(), seconds: 10, suite: "AES_CM_128_HMAC_SHA1_80".to_owned() };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().context(USAGE)?;
        match flag.as_str() {
            "--server" => options.server = value.into(),
            "--seconds" => options.seconds = value.parse().context(USAGE)?,
            "--suite" => options.suite = value,
            _ => bail!("{USAGE}"),
        }
    }
    if options.server.as_os_str().is_empty() {
        bail!("{USAGE}");
    }
    Ok(options)
}

fn run() -> anyhow::Result<bool> {
    let options = options()?;
    let server = Server::start_binary(&options.server, &["--media", "127.0.0.1"])?;
    let mut ng = server.ng_client()?;
    let call = WebToPhone::place(&mut ng, "demo", &options.suite)?;
    println!("a WebRTC endpoint calls a phone with {} through ng {}", options.suite, server.ng);
    call.wait_until_verified(&server)?;
    call.connect_and_speak()?;
    watch(&call, Duration::from_secs(options.seconds));
    call.fall_silent();
    let detail: Value = serde_json::from_str(&server.page("/calls/demo")?)?;
    let (to_phone, to_web, rejected) = call.end()?;
    report("browser to phone", &to_phone);
    report("phone to browser", &to_web);
    report_legs(&detail);
    let is_perfect = to_phone.is_perfect() && to_web.is_perfect() && rejected == 0;
    println!("{}", if is_perfect { "every packet arrived, authentic" } else { "NOT every packet arrived" });
    let status = server.stop()?;
    Ok(is_perfect && status.success())
}

/// Shows a live line until the time is up.
fn watch(call: &WebToPhone, length: Duration) {
    const BAR: usize = 30;
    let is_terminal = std::io::stdout().is_terminal();
    let started = Instant::now();
    while started.elapsed() < length {
        std::thread::sleep(Duration::from_millis(200));
        let share = (started.elapsed().as_secs_f64() / length.as_secs_f64()).min(1.0);
        let done = (share * BAR as f64) as usize;
        let (to_phone, to_web) = (call.to_phone.progress(), call.to_web.progress());
        if is_terminal {
            print!(
                "\r[{}{}] {:3.0} %   to phone {}/{}   to browser {}/{} ",
                "#".repeat(done),
                "-".repeat(BAR - done),
                share * 100.0,
                to_phone.1,
                to_phone.0,
                to_web.1,
                to_web.0
            );
            let _ = std::io::stdout().flush();
        }
    }
    if is_terminal {
        println!();
    }
}

fn report(direction: &str, summary: &Summary) {
    println!(
        "{direction}: sent {}, arrived {}, lost {}, duplicated {}, altered {}; jitter {:.2} ms; added latency p50 {:.2} ms, p99 {:.2} ms",
        summary.sent,
        summary.arrived,
        summary.lost(),
        summary.duplicated,
        summary.altered,
        milliseconds(summary.jitter),
        milliseconds(summary.delay_p50),
        milliseconds(summary.delay_p99)
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Per transport of each leg: keying, profile, and what came of the fingerprint.
fn report_legs(detail: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for leg in list(&detail["legs"]) {
        for section in list(&leg["sections"]) {
            for transport in list(&section["transports"]) {
                let word = |key: &str, otherwise: &str| transport[key].as_str().unwrap_or(otherwise).to_owned();
                println!(
                    "leg {} {} {}: keying {}, profile {}, fingerprint {}",
                    leg["tag"].as_str().unwrap_or("?"),
                    section["media"].as_str().unwrap_or("?"),
                    word("component", "?"),
                    word("keying", "?"),
                    word("profile", "none"),
                    word("verified", "not used")
                );
            }
        }
    }
}
