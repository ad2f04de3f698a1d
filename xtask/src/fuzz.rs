//! Builds the fuzz targets with libFuzzer and runs them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::chores::{cargo, target_directory, workspace_root};
use crate::setup::{self, run};

/// How long each target runs when all do, in seconds.
const SECONDS: u32 = 15;

/// Targets that run side by side.
const AT_ONCE: usize = 2;

/// `fuzz`: all targets for a short while. `fuzz TARGET [SECONDS]`: one, until it fails or the time is over.
pub(crate) fn fuzz(arguments: &[String]) -> Result<(), String> {
    setup::for_build()?;
    build()?;
    match arguments {
        [] => all(),
        [target] => one(target, 0),
        [target, seconds] => one(target, seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?),
        _ => Err("usage: cargo xtask fuzz [TARGET [SECONDS]]".to_owned()),
    }
}

/// The corpora name the targets; a test holds that there is one for each.
fn targets() -> Result<Vec<String>, String> {
    let folder = workspace_root().join("tests/fuzz/corpus");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn build() -> Result<(), String> {
    let wrapper = workspace_root().join("tests/fuzz/coverage-rustc");
    // All packages, so that what they depend on is shared with the other builds.
    run(cargo()
        .args(["build", "--workspace", "--bin", "fuzz", "--features", "sallyport-fuzz/libfuzzer"])
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper))
}

fn command(target: &str, seconds: u32) -> Result<Command, String> {
    let found = target_directory().join("fuzz").join(target);
    let make =
        |folder: &Path| std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()));
    make(&found)?;
    let mut command = Command::new(target_directory().join("debug/fuzz"));
    // New inputs go to the first folder; those of the repository are only read.
    command.arg(&found).arg(workspace_root().join("tests/fuzz/corpus").join(target));
    command.arg(format!("-max_total_time={seconds}")).args(["-max_len=4096", "-timeout=5", "-rss_limit_mb=1024"]);
    command.arg(format!("-artifact_prefix={}/", target_directory().join("fuzz").display()));
    command.args(["-verbosity=0", "-print_final_stats=1"]).env("FUZZ_TARGET", target);
    Ok(command)
}

fn one(target: &str, seconds: u32) -> Result<(), String> {
    run(command(target, seconds)?.args(["-verbosity=1"]))
}

fn all() -> Result<(), String> {
    let mut failed = Vec::new();
    for batch in targets()?.chunks(AT_ONCE) {
        let mut running: Vec<(&String, Child)> = Vec::new();
        for target in batch {
            let mut command = command(target, SECONDS)?;
            let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
            running.push((target, child.map_err(|error| format!("{command:?}: {error}"))?));
        }
        for (target, child) in running {
            let output = child.wait_with_output().map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stderr);
            let executed = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
            eprintln!("xtask: fuzz {target}: {} inputs", executed.unwrap_or(" no count of").trim());
            if !output.status.success() || executed.is_none() {
                eprintln!("{text}");
                failed.push(target.clone());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("fuzzing failed: {}", failed.join(", "))) }
}
