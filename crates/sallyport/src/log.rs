//! The log: where it goes, what of it, and how it is written.

use std::io::IsTerminal;

use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::settings::LogFormat;

/// Goes before the option `log.level`.
const VARIABLE: &str = "RUST_LOG";

/// Changes the level of the running log.
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Begins the log on standard error. Once in a process.
    pub(crate) fn begin(level: &str, format: LogFormat) -> anyhow::Result<Self> {
        let filter = match is_overridden() {
            true => EnvFilter::try_from_default_env()?,
            false => EnvFilter::try_new(level)?,
        };
        let (filter, handle) = reload::Layer::new(filter);
        let colours = std::io::stderr().is_terminal();
        let lines = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(std::io::stderr);
        let lines = match format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).try_init()?;
        Ok(Self { filter: handle })
    }

    /// Another level from here on; without effect where the environment says which.
    pub(crate) fn set_level(&self, level: &str) -> anyhow::Result<()> {
        if !is_overridden() {
            self.filter.reload(EnvFilter::try_new(level)?)?;
        }
        Ok(())
    }
}

fn is_overridden() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty())
}
