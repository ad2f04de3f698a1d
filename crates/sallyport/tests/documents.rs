//! Documents against the code that they speak of.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

/// Names of all test functions below a folder.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                match line.trim_start_matches("async ").strip_prefix("fn ") {
                    Some(name) if is_test => {
                        names.insert(name.split('(').next().unwrap().to_owned());
                        is_test = false;
                    }
                    _ if line == "#[test]" || line.starts_with("#[tokio::test") => is_test = true,
                    _ if !line.starts_with("#[") && !line.starts_with("//") => is_test = false,
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = BTreeSet::new();
    tests_below(&root.join("crates"), &mut tests);
    tests_below(&root.join("tests"), &mut tests);
    let text = std::fs::read_to_string(root.join("docs/THREAT_MODEL.md")).unwrap();
    let threats = text.split("\n## Threats\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut named = 0;
    for row in threats.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let shown_by = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
        assert!(!names.is_empty(), "nothing shows it: {row}");
        for name in names {
            assert!(tests.contains(name), "there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}
