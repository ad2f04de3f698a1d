//! serve, demo, bench, test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::setup::{self, run};

/// Builds the server in release mode and becomes its parent until it ends.
pub fn serve(flags: &[String]) -> Result<(), String> {
    setup::for_build()?;
    run(cargo().args(["build", "--release", "--package", "sallyport"]))?;
    run(Command::new(target_directory().join("release/sallyport")).args(flags))
}

/// Builds the server and the demo's endpoints in release mode and places one call.
pub fn demo(flags: &[String]) -> Result<(), String> {
    setup::for_build()?;
    run(cargo().args(["build", "--release", "--package", "sallyport", "--package", "sallyport-tests", "--bins"]))?;
    let built = target_directory().join("release");
    run(Command::new(built.join("demo")).arg("--server").arg(built.join("sallyport")).args(flags))
}

/// Builds the server and the benchmark in release mode and runs what is named.
pub fn bench(arguments: &[String]) -> Result<(), String> {
    let (program, flags) = match arguments.split_first().map(|(name, flags)| (name.as_str(), flags)) {
        Some(("relay", flags)) => ("relay-bench", flags),
        Some(("sip", flags)) => ("sip-bench", flags),
        _ => {
            return Err("the benchmarks that run by themselves are `bench relay` and `bench sip`; \
                        `cargo bench` runs those of single crates"
                .into());
        }
    };
    setup::for_bench()?;
    run(cargo().args(["build", "--release", "--package", "sallyport", "--package", "sallyport-benches", "--bins"]))?;
    let built = target_directory().join("release");
    run(Command::new(built.join(program)).arg("--sallyport").arg(built.join("sallyport")).args(flags))
}

type Stage = (&'static str, fn() -> Result<(), String>);

/// In the order that finds the commonest faults first.
const STAGES: &[Stage] = &[
    ("fmt", || run(cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", || run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
    ("docs", || run(cargo().args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))),
    ("deny", || run(cargo().args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))),
    // The scenarios start the server as a process of its own.
    ("server", || run(cargo().args(["build", "--package", "sallyport", "--package", "sallyport-tests", "--bins"]))),
    ("tests", || run(cargo().args(["test", "--workspace", "--no-fail-fast"]))),
    ("fuzz", || crate::fuzz::fuzz(&[])),
    ("demo", || demo(&[])),
    ("bench", || bench(&["relay".into(), "--smoke".into()])),
    ("sip-bench", || bench(&["sip".into(), "--smoke".into()])),
    // Each once: that they run, not how fast.
    ("micro", || {
        run(cargo().args(["bench", "--quiet", "--package", "sallyport-benches", "--benches", "--", "--test"]))
    }),
];

/// Installs what the tests need and runs all stages, or those that are named.
pub fn test(names: &[String]) -> Result<(), String> {
    if names.first().is_some_and(|name| name == "list") {
        STAGES.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    if let Some(unknown) = names.iter().find(|name| !STAGES.iter().any(|(stage, _)| stage == name)) {
        return Err(format!("no stage is called {unknown:?}; `cargo xtask test list` names them"));
    }
    setup::for_tests(&workspace_root())?;
    let started = Instant::now();
    for (name, stage) in STAGES {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("xtask: {name} (at {} s)", started.elapsed().as_secs());
        stage().map_err(|reason| format!("stage {name}: {reason}"))?;
    }
    eprintln!("xtask: all stages passed in {} s", started.elapsed().as_secs());
    Ok(())
}

pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root());
    command
}

pub(crate) fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the workspace").to_owned()
}

pub(crate) fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => directory.into(),
        None => workspace_root().join("target"),
    }
}
