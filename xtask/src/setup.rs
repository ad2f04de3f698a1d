//! Installs what the build and the tests need. Debian packages by apt, where we are root; elsewhere it says which.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Debian package, and the file by which we see that it is there.
struct Package {
    name: &'static str,
    evidence: &'static [&'static str],
}

// BoringSSL is compiled by cmake, and its bindings are made with libclang.
const BUILD: &[Package] = &[
    Package { name: "cmake", evidence: &["/usr/bin/cmake"] },
    Package { name: "g++", evidence: &["/usr/bin/c++"] },
    Package { name: "libclang-dev", evidence: &["/usr/lib/llvm-*/lib/libclang.so"] },
];

// The yardstick, and `ip` for the networks that it is measured in.
const BENCH: &[Package] = &[
    Package { name: "rtpengine-daemon", evidence: &["/usr/bin/rtpengine", "/usr/sbin/rtpengine"] },
    Package { name: "iproute2", evidence: &["/usr/sbin/ip", "/sbin/ip"] },
];

const TEST: &[Package] = &[
    Package { name: "libsrtp2-dev", evidence: &["/usr/include/srtp2/srtp.h"] },
    Package { name: "openssl", evidence: &["/usr/bin/openssl"] },
    Package { name: "chromium", evidence: &["/usr/bin/chromium"] },
    Package { name: "nodejs", evidence: &["/usr/bin/node", "/usr/local/bin/node"] },
    Package { name: "npm", evidence: &["/usr/bin/npm", "/usr/local/bin/npm"] },
    Package { name: "kamailio", evidence: &["/usr/sbin/kamailio"] },
    Package { name: "sip-tester", evidence: &["/usr/bin/sipp"] },
    Package { name: "linphone-cli", evidence: &["/usr/bin/linphonec"] },
    Package { name: "python3-venv", evidence: &["/usr/lib/python3*/ensurepip/__init__.py"] },
    Package { name: "prometheus", evidence: &["/usr/bin/promtool"] },
    Package { name: "strace", evidence: &["/usr/bin/strace"] },
    Package { name: "systemd", evidence: &["/usr/bin/systemd-analyze"] },
];

const CARGO_DENY: &str = "0.20.2";

/// What `serve` needs.
pub fn for_build() -> Result<(), String> {
    install_packages(BUILD)
}

/// What `bench` needs.
pub fn for_bench() -> Result<(), String> {
    for_build()?;
    install_packages(BENCH)
}

/// What `test` needs.
pub fn for_tests(root: &Path) -> Result<(), String> {
    for_bench()?;
    install_packages(TEST)?;
    install_cargo_deny()?;
    install_scanner(&root.join("tests/scanner"))?;
    install_node_packages(&root.join("tests/browser"))
}

fn install_packages(packages: &[Package]) -> Result<(), String> {
    let missing: Vec<&str> =
        packages.iter().filter(|package| !package.is_installed()).map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        return Err(format!(
            "please install what is missing, then try again:\n\n    sudo apt-get install {}\n",
            missing.join(" ")
        ));
    }
    eprintln!("xtask: installing {}", missing.join(" "));
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null()))?;
    match packages.iter().find(|package| !package.is_installed()) {
        Some(package) => Err(format!("apt installed {} but {:?} is not there", package.name, package.evidence)),
        None => Ok(()),
    }
}

impl Package {
    fn is_installed(&self) -> bool {
        self.evidence.iter().any(|pattern| exists(pattern))
    }
}

/// True when a file matches; one `*` may stand inside one component of the path.
fn exists(pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return Path::new(pattern).exists() };
    let (folder, prefix) = before.rsplit_once('/').expect("patterns are absolute");
    let (suffix, rest) = after.split_once('/').unwrap_or((after, ""));
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix) && entry.path().join(rest).exists()
    })
}

fn install_cargo_deny() -> Result<(), String> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if installed.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    eprintln!("xtask: installing cargo-deny {CARGO_DENY}");
    run(Command::new("cargo").args(["install", "cargo-deny", "--locked", "--quiet", "--version", CARGO_DENY]))
}

/// SIPVicious (GPL, a process of its own) by pip into an environment of its own; the hash in the file is what was looked at.
fn install_scanner(folder: &Path) -> Result<(), String> {
    let environment = folder.join("venv");
    if environment.join("bin/sipvicious_svwar").exists() {
        return Ok(());
    }
    eprintln!("xtask: installing the SIP scanner");
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    run(Command::new(environment.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--requirement"])
        .arg(folder.join("requirements.txt")))
}

fn install_node_packages(folder: &Path) -> Result<(), String> {
    let wanted: PathBuf = folder.join("package.json");
    if !wanted.exists() || folder.join("node_modules/playwright-core/package.json").exists() {
        return Ok(());
    }
    eprintln!("xtask: installing the browser driver");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(folder))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// Runs a command to its end; an error names it.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
