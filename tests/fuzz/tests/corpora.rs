//! Every input of every corpus, and what lies next to it.

use std::path::{Path, PathBuf};

use sallyport_fuzz::{TARGETS, Target};

fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("a file"))).collect()
}

fn run(target: &Target, path: &Path, what: &str, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| (target.run)(bytes));
    assert!(outcome.is_ok(), "{} fails on {} {what}: {bytes:02x?}", target.name, path.display());
}

#[test]
fn every_input_of_the_corpora_passes() {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{} has a corpus", target.name);
        for (path, bytes) in inputs {
            run(target, &path, "as it is", &bytes);
        }
    }
}

/// Cut short at every length, and with one byte changed at every place: the same every time.
#[test]
fn neighbours_of_the_corpora_pass() {
    for target in TARGETS {
        for (path, bytes) in inputs(target) {
            let step = bytes.len() / 128 + 1;
            for at in (0..bytes.len()).step_by(step) {
                run(target, &path, &format!("cut at {at}"), &bytes[..at]);
                for value in [0x00, 0x7F, 0xFF, bytes[at] ^ 0x01, bytes[at] ^ 0x80] {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    run(target, &path, &format!("with {value:#04x} at {at}"), &changed);
                }
            }
        }
    }
}
