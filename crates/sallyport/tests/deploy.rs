//! What stands in `deploy/`, against the program that it is for and the tools that read it.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{Process, audio_port, command, eventually, offer, offer_with};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether a tool can be had. Where everything must run, a missing one is a failure.
fn has(tool: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap().status.success();
    assert!(found || std::env::var_os("CI").is_none(), "{tool} is missing, and this test must not be left out here");
    found
}

/// Runs it in `deploy/`; its output when it succeeds.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root().join("deploy")).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sallyport-{}-{name}", std::process::id()))
}

/// Values of labels that the page has, by metric and label.
type Series = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What a server shows that has seen a call and refused another request.
fn series() -> Series {
    let process = Process::start("27600-27699");
    audio_port(&process.ask(&offer("c1", "one")));
    process.ask(r#"c2 {"command":"query","call-id":"none"}"#);
    let page = process.page("/metrics").1;
    let mut series = Series::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) =
            line.rsplit_once(' ').unwrap().0.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let known = series.entry(name.to_owned()).or_default();
        for (label, value) in labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\"")) {
            known.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }
    series
}

/// Label, operator and value.
type Matcher = (String, String, String);

/// Every selector of our metrics in an expression: name and matchers.
fn selectors(expression: &str) -> Vec<(String, Vec<Matcher>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (start, _) in expression.match_indices("sallyport_") {
        let rest = &expression[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let inside = rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
        let matchers = inside.split(',').filter(|matcher| !matcher.trim().is_empty()).map(|matcher| {
            let (label, rest) = matcher.trim().split_at(matcher.trim().find(|c| !is_name(c)).unwrap());
            let (operator, value) = rest.split_once('"').unwrap();
            (label.to_owned(), operator.to_owned(), value.trim_end_matches('"').to_owned())
        });
        found.push((name.to_owned(), matchers.collect()));
    }
    found
}

/// Names and labels must exist; so must values, but for those that show only once they have been counted.
fn check(series: &Series, expression: &str) {
    let selectors = selectors(expression);
    assert!(!selectors.is_empty() || expression.starts_with("up{"), "{expression} is about something else");
    for (name, matchers) in selectors {
        let labels = series.get(&name).unwrap_or_else(|| panic!("there is no metric {name}: {expression}"));
        for (label, operator, value) in matchers.iter().filter(|(label, ..)| label != "instance") {
            let values = labels.get(label).unwrap_or_else(|| panic!("{name} has no label {label}: {expression}"));
            let is_counted_late = name == "sallyport_refusals_total";
            if ["=", "!="].contains(&operator.as_str()) && !is_counted_late {
                assert!(values.contains(value), "{name} has no {label}={value:?}, but {values:?}: {expression}");
            }
        }
    }
    let grouped = expression.split("by (").skip(1).flat_map(|rest| rest.split(')').next().unwrap().split(','));
    for label in grouped.map(str::trim).filter(|label| *label != "instance") {
        assert!(
            series.values().any(|labels| labels.contains_key(label)) || label == "le",
            "no label {label}: {expression}"
        );
    }
}

/// Expressions of the board, with the variables that Grafana fills in.
fn board() -> Vec<String> {
    let board: serde_json::Value = serde_json::from_str(&read("deploy/grafana.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Expressions of the alerts.
fn alerts() -> Vec<String> {
    let text = read("deploy/alerts.yml");
    let mut lines = text.lines().peekable();
    let mut expressions = Vec::new();
    while let Some(line) = lines.next() {
        let Some(expression) = line.trim_start().strip_prefix("expr: ") else { continue };
        let mut whole = expression.trim_start_matches('|').to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
            whole = format!("{whole} {}", more.trim());
        }
        expressions.push(whole.trim().to_owned());
    }
    expressions
}

#[test]
fn the_board_and_the_alerts_ask_for_metrics_labels_and_values_that_exist() {
    let series = series();
    let (board, alerts) = (board(), alerts());
    assert!(board.len() > 20 && alerts.len() > 10, "{} and {}", board.len(), alerts.len());
    board.iter().chain(&alerts).for_each(|expression| check(&series, expression));
    let missing = std::panic::catch_unwind(|| check(&series, "sum(sallyport_cals)"));
    assert!(missing.is_err(), "the check can fail");
}

#[test]
fn the_manual_lists_every_metric() {
    let manual = read("docs/OPERATIONS.md");
    let suffixes = ["_bucket", "_sum", "_count"];
    for name in series().keys() {
        let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(manual.contains(&format!("| `{family}` |")), "docs/OPERATIONS.md says nothing of {family}");
    }
}

#[test]
fn prometheus_takes_the_configuration_and_the_alerts_fire_when_they_should() {
    if !has("promtool") {
        return;
    }
    run("promtool", &["check", "config", "prometheus.yml"]);
    run("promtool", &["test", "rules", "alerts.test.yml"]);
    let tested = read("deploy/alerts.test.yml");
    for alert in read("deploy/alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tested.contains(&format!("alertname=\"{alert}\"")), "no test lets {alert} fire");
    }
    // The board's expressions as rules, to have their syntax read.
    let mut rules = "groups:\n  - name: board\n    rules:\n".to_owned();
    for (index, expression) in board().iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "1m").replace("$instance", ".*");
        write!(rules, "      - record: board:{index}\n        expr: {expression:?}\n").unwrap();
    }
    let path = temporary("board.yml");
    std::fs::write(&path, rules).unwrap();
    run("promtool", &["check", "rules", path.to_str().unwrap()]);
    std::fs::remove_file(path).unwrap();
}

/// The server as one process, and as two.
const UNITS: [&str; 3] = ["sallyport.service", "sallyport-pump.service", "sallyport-signal.service"];

#[test]
fn systemd_takes_the_units_and_finds_little_exposed() {
    if !has("systemd-analyze") {
        return;
    }
    let folder = temporary("unit");
    std::fs::create_dir_all(&folder).unwrap();
    let place = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for name in UNITS {
        let unit = read(&format!("deploy/{name}"));
        let program = format!("ExecStart={} ", env!("CARGO_BIN_EXE_sallyport"));
        let here = unit.replace("ExecStart=/usr/bin/sallyport ", &program);
        assert_ne!(here, unit);
        std::fs::write(place(name), here).unwrap();
    }
    for name in UNITS {
        let words = run("systemd-analyze", &["verify", "--man=no", &place(name)]);
        assert!(!words.contains("sallyport"), "{words}");
        // Of 100: what is left is that it needs the network, and files of the system to read.
        run("systemd-analyze", &["security", "--offline=true", "--threshold=20", &place(name)]);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// What the test below finds of the one holds for the others.
#[test]
fn the_units_have_one_sandbox() {
    let sandbox = |name: &str| {
        let unit = read(&format!("deploy/{name}"));
        let begin = unit.find("# Nothing to write").unwrap();
        unit[begin..].split("[Install]").next().unwrap().to_owned()
    };
    for name in UNITS {
        assert_eq!(sandbox(name), sandbox(UNITS[0]), "{name}");
    }
}

/// The system calls that the unit's filter lets through.
fn allowed_calls(unit: &str) -> BTreeSet<String> {
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in run("systemd-analyze", &["syscall-filter", "--no-pager"]).lines() {
        match line.strip_prefix("    ") {
            Some(entry) if !entry.starts_with('#') => {
                sets.entry(current.clone()).or_default().push(entry.trim().to_owned())
            }
            Some(_) => {}
            None => current = line.trim().to_owned(),
        }
    }
    fn expand(sets: &BTreeMap<String, Vec<String>>, name: &str, into: &mut BTreeSet<String>) {
        for entry in sets.get(name).into_iter().flatten() {
            if entry.starts_with('@') {
                expand(sets, entry, into);
            } else {
                into.insert(entry.clone());
            }
        }
    }
    let mut allowed = BTreeSet::new();
    for filter in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let mut named = BTreeSet::new();
        expand(&sets, filter.trim_start_matches('~'), &mut named);
        assert!(!named.is_empty(), "{filter}");
        if filter.starts_with('~') { allowed.retain(|call| !named.contains(call)) } else { allowed.extend(named) }
    }
    allowed
}

/// A plain call, and packets through it.
fn send_media(process: &Process) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    audio_port(&process.ask(&offer("m1", "media")));
    let sdp = format!(
        "v=0\\r\\no=- 1 1 IN IP4 127.0.0.1\\r\\ns=-\\r\\nc=IN IP4 127.0.0.1\\r\\nt=0 0\\r\\nm=audio {} RTP/AVP 0\\r\\n",
        peer.local_addr().unwrap().port()
    );
    let answer = r#"m2 {"command":"answer","call-id":"media","from-tag":"a","to-tag":"b","sdp":""#;
    // What the caller is answered is where it sends to.
    let port = audio_port(&process.ask(&format!("{answer}{sdp}\"}}")));
    let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sequence = 0u16;
    eventually("a packet arrives", || {
        sequence += 1;
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet.resize(172, 0);
        caller.send_to(&packet, ("127.0.0.1", port)).unwrap();
        peer.recv(&mut [0; 2048]).is_ok()
    });
    process.ask(r#"m3 {"command":"delete","call-id":"media","from-tag":"a","delete delay":0}"#);
}

/// From its start, over media, DTLS offered, and a drain to its end the server does nothing that the sandbox forbids.
#[test]
fn the_server_stays_inside_the_sandbox_of_the_unit() {
    if !has("systemd-analyze") || !has("strace") {
        return;
    }
    let trace = temporary("trace");
    let inner = command(&["--ports", "27700-27799"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o"]).arg(&trace).arg(inner.get_program()).args(inner.get_args());
    traced.env_remove("RUST_LOG").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let process = Process::spawn(&mut traced);
    audio_port(&process.ask(&offer_with("c1", "one", r#","transport-protocol":"UDP/TLS/RTP/SAVPF","ICE":"force""#)));
    assert_eq!(process.page("/readyz").0, 200);
    send_media(&process);
    let (status, _) =
        process.request("POST /drain", "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 0\r\n");
    assert_eq!(status, 200);
    process.ask(r#"c2 {"command":"delete","call-id":"one","from-tag":"a","delete delay":0}"#);
    assert_eq!(process.end().code(), Some(0));

    let unit = read("deploy/sallyport.service");
    let allowed = allowed_calls(&unit);
    let families = unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).unwrap();
    let families: BTreeSet<&str> = families.split(' ').collect();
    let text = std::fs::read_to_string(&trace).unwrap();
    let mut calls = BTreeSet::new();
    for line in text.lines() {
        let call = line.split_once(' ').unwrap().1.trim_start();
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        // The parent's exec is systemd's affair.
        assert!(allowed.contains(name) || name == "execve", "the sandbox forbids {line}");
        calls.insert(name.to_owned());
        if name == "socket" {
            let family = arguments.split(',').next().unwrap();
            assert!(families.contains(family), "the sandbox forbids {line}");
        }
        let is_memory = ["mmap", "mprotect", "pkey_mprotect"].contains(&name);
        let is_loose = arguments.contains("PROT_WRITE") && arguments.contains("PROT_EXEC");
        assert!(!(is_memory && is_loose), "MemoryDenyWriteExecute forbids {line}");
        assert!(!(name == "mprotect" && arguments.contains("PROT_EXEC")), "MemoryDenyWriteExecute forbids {line}");
    }
    for call in ["bind", "recvmmsg", "sendto", "epoll_wait", "recvfrom"] {
        assert!(calls.contains(call), "{call} was not seen: {calls:?}");
    }
    // Under load, and with `pin_workers`.
    for call in ["sendmmsg", "sendmsg", "sched_setaffinity"] {
        assert!(allowed.contains(call), "{call}");
    }
    std::fs::remove_file(trace).unwrap();
}

#[test]
fn the_image_is_built_from_what_there_is_and_runs_as_nobody_special() {
    let file = read("deploy/Dockerfile").replace("\\\n", " ");
    let instructions: Vec<(&str, &str)> = file
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .collect();
    let known = ["FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"];
    for (instruction, _) in &instructions {
        assert!(known.contains(instruction), "{instruction}");
    }
    let of = |wanted: &str| {
        instructions.iter().filter(|(name, _)| *name == wanted).map(|(_, rest)| *rest).collect::<Vec<_>>()
    };
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert_eq!(of("FROM"), [format!("rust:{rust}-bookworm AS build").as_str(), "debian:bookworm-slim"]);
    // What the build needs is listed once for the chores, and here again.
    let setup = read("xtask/src/setup.rs");
    let list = setup.split("const BUILD").nth(1).unwrap().split("];").next().unwrap();
    let packages: Vec<&str> = list.split("name: \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let install = of("RUN").into_iter().find(|run| run.contains("apt-get install")).unwrap();
    let install = install.split("--no-install-recommends").nth(1).unwrap().split("&&").next().unwrap();
    assert_eq!(install.split_whitespace().collect::<BTreeSet<_>>(), packages.into_iter().collect());
    for source in of("COPY").iter().filter(|copy| !copy.starts_with("--from")) {
        let source = source.split(' ').next().unwrap();
        assert!(root().join(source).exists(), "{source}");
    }
    let position = |wanted: &str| instructions.iter().rposition(|(name, _)| *name == wanted).unwrap();
    assert!(position("USER") > position("FROM") && of("USER") == ["sallyport"]);
    assert_eq!(of("CMD"), [r#"["--config", "/etc/sallyport/sallyport.toml"]"#]);
    let ignored = read("deploy/Dockerfile.dockerignore");
    assert!(ignored.lines().any(|line| line == "target"));
}
