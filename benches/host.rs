//! The machine that a benchmark runs on, what its report says of it, and how the benchmark was called.

use std::fs;

use anyhow::Context;

/// Number and model of its processors.
pub(crate) fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} × {}", model.trim_start_matches([' ', '\t', ':']))
}

/// Release of its kernel.
pub(crate) fn kernel() -> String {
    first_line("/proc/sys/kernel/osrelease")
}

/// Of one minute.
pub(crate) fn load_average() -> String {
    first_line("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// How the benchmark of this name was called, but for the programs' places, which are this machine's business.
pub(crate) fn command_line(benchmark: &str) -> String {
    let mut shown = vec!["cargo xtask bench".to_owned(), benchmark.to_owned()];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if ["--sallyport", "--rtpengine"].contains(&argument.as_str()) {
            arguments.next();
        } else {
            shown.push(argument);
        }
    }
    shown.join(" ")
}

/// Every media port is a descriptor; what we start inherits the limit.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the limit of open files")
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
pub(crate) fn say(report: &str) {
    print!("{report}");
}
