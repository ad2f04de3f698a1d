//! Reading the configuration again: what can change changes, what cannot is named, and a faulty file changes nothing.

use std::time::SystemTime;

use anyhow::Context;
use session::{Adjustment, Session};
use tokio::sync::watch;

use crate::log::Log;
use crate::machine;
use crate::settings::{Arguments, Role, Settings};

/// The settings that hold, and where they come from.
pub(crate) struct Reload {
    arguments: Arguments,
    settings: Settings,
    log: Log,
    admin_hosts: watch::Sender<Vec<String>>,
    pub(crate) last_successful: bool,
    /// When the configuration could be read last.
    pub(crate) succeeded_at: SystemTime,
}

impl Reload {
    /// `settings` are what the server has started with.
    pub(crate) fn new(arguments: Arguments, settings: Settings, log: Log) -> Self {
        let admin_hosts = watch::Sender::new(settings.live.admin_hosts.clone());
        Self { arguments, settings, log, admin_hosts, last_successful: true, succeeded_at: SystemTime::now() }
    }

    /// The settings that hold.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The option `admin_hosts`, as it changes.
    pub(crate) fn admin_hosts(&self) -> watch::Receiver<Vec<String>> {
        self.admin_hosts.subscribe()
    }

    /// Reads the file again and says in the log what came of it. True: everything in it could be read; what it names is for
    /// the caller to read, and then to [`Reload::conclude`].
    pub(crate) fn reload(&mut self, session: &mut Session) -> bool {
        if !self.arguments.has_file() {
            tracing::warn!("reload: there is no configuration file (--config), nothing changes");
            return false;
        }
        match self.try_reload(session) {
            Ok(()) => true,
            Err(error) => {
                for line in format!("{error:#}").lines() {
                    tracing::warn!("reload: {line}");
                }
                tracing::warn!("reload: nothing has changed");
                false
            }
        }
    }

    /// What came of it all, for metrics. Without a file nothing has been tried.
    pub(crate) fn conclude(&mut self, successful: bool) {
        if self.arguments.has_file() {
            self.last_successful = successful;
        }
        if successful {
            self.succeeded_at = SystemTime::now();
        }
    }

    /// An error leaves everything as it was.
    fn try_reload(&mut self, session: &mut Session) -> anyhow::Result<()> {
        let mut next = Settings::gather(&self.arguments, Some(&self.settings))?;
        let added = next.live.interfaces.get(self.settings.live.interfaces.len()..);
        let only_adds = next.live.interfaces.starts_with(&self.settings.live.interfaces);
        // What sockets are bound to is the media half's; where that is another process, it says so at the first call.
        if only_adds && self.settings.fixed.role == Role::Both {
            for interface in added.unwrap_or_default() {
                let address = interface.address;
                machine::check_address(address).with_context(|| format!("media address {address}"))?;
            }
        }
        let differing = self.settings.differing(&next);
        let is_live = |name: &str, reloads: bool| reloads && (name != "media" || only_adds);
        let (changed, fixed): (Vec<_>, Vec<_>) =
            differing.iter().map(|key| (key.name, key.reloads)).partition(|&(name, reloads)| is_live(name, reloads));
        if !only_adds {
            next.live.interfaces = self.settings.live.interfaces.clone();
        }
        next.fixed = self.settings.fixed.clone();
        session.adjust(Adjustment {
            interfaces: next.live.interfaces.clone(),
            defaults: next.defaults(),
            timeouts: next.live.timeouts,
            limits: next.live.limits,
        })?;
        // From here on nothing can fail: the filter was parsed with the file.
        self.log.set_level(&next.live.log_level)?;
        self.admin_hosts.send_replace(next.live.admin_hosts.clone());
        self.settings = next;
        tracing::info!(changed = names(&changed), "reload: done");
        if !fixed.is_empty() {
            tracing::warn!(keys = names(&fixed), "reload: these take a restart to change");
        }
        Ok(())
    }
}

fn names(keys: &[(&str, bool)]) -> String {
    match keys {
        [] => "nothing".to_owned(),
        keys => keys.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
    }
}
