//! `sallyport user add NAME`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use b2bua::User;
use zeroize::Zeroizing;

/// Reads a password from standard input, and prints the line for the users file.
pub(crate) fn add(name: &str, realm: &str) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("password of {name} (it is shown as you type), then Enter:");
    }
    let mut line = Zeroizing::new(String::new());
    stdin.lock().read_line(&mut line).context("the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("no password on standard input");
    }
    let user = User::new(name, realm, password)?;
    writeln!(std::io::stdout(), "{}", *user.to_line())?;
    Ok(())
}
