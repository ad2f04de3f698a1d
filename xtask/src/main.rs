//! The project's chores. `cargo xtask` lists them.

mod chores;
mod fuzz;
mod setup;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

  serve [FLAGS]   install what the build needs, build in release mode, start the server (flags go to it)
  demo [FLAGS]    place one call through a server of its own and report on it
  bench relay [FLAGS]
                  drive Sallyport and rtpengine with the same packets and print what they cost each (benches/README.md)
  fuzz            fuzz every target for 15 seconds
  fuzz TARGET [SECONDS]
                  fuzz one until it fails, or for so long; targets are the folders of tests/fuzz/corpus
  test            install what the tests need and run every check (this is what CI runs)
  test NAME ...   only the named stages; `test list` names them
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((chore, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    };
    let outcome = match chore.as_str() {
        "serve" => chores::serve(rest),
        "demo" => chores::demo(rest),
        "bench" => chores::bench(rest),
        "test" => chores::test(rest),
        "fuzz" => fuzz::fuzz(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("no chore is called {other:?}\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}
