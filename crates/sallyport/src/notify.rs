//! What systemd is told (`Type=notify`, sd_notify(3)). Without systemd nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

/// Serving has begun, or a reload is over.
pub(crate) fn ready() {
    say(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(since) => say(&[NotifyState::Reloading, since]),
        Err(error) => tracing::debug!(%error, "no monotonic time for systemd"),
    }
}

/// The end has begun.
pub(crate) fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// A line for `systemctl status`.
pub(crate) fn status(words: &str) {
    say(&[NotifyState::Status(words)]);
}

/// The task that owns the calls lives.
pub(crate) fn alive() {
    say(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is to be said: half of what systemd allows. `None`: it does not watch.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
