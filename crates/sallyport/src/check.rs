//! `sallyport check FILE`.

use std::io::Write;
use std::path::Path;

use crate::identity;
use crate::settings::Settings;
use crate::sip_start;

/// Reads a file and the files that it names. The error has a line for everything that is wrong.
pub(crate) fn check(file: &Path) -> anyhow::Result<()> {
    let settings = Settings::read(file)?;
    identity::load(&settings.fixed.dtls)?;
    sip_start::check(&settings)?;
    let _ = writeln!(std::io::stdout(), "{}: no errors", file.display());
    Ok(())
}
