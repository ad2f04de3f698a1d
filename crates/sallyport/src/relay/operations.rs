//! What operators want of the running server: reload, drain, and signs of life.

use std::time::{Duration, Instant, UNIX_EPOCH};

use admin::{Draining, ProcessSnapshot};

use super::Relay;
use crate::drain::Drain;
use crate::notify;
use crate::signals::Wish;
use crate::{sip_smime, sip_start};

/// Signs of life for systemd, at regular times.
pub(super) struct Pulse {
    interval: Option<Duration>,
    due: Instant,
}

impl Pulse {
    pub(super) fn begin(now: Instant) -> Self {
        Self { interval: notify::watchdog_interval(), due: now }
    }

    fn due(&self) -> Option<Instant> {
        self.interval.map(|_| self.due)
    }

    fn beat(&mut self, now: Instant) {
        if let Some(interval) = self.interval.filter(|_| now >= self.due) {
            notify::alive();
            self.due = now + interval;
        }
    }
}

impl Relay {
    /// True: the process is to end.
    pub(super) fn obey(&mut self, wish: Wish) -> bool {
        match wish {
            Wish::End => return true,
            Wish::Reload => {
                notify::reloading();
                let is_read = self.reload.reload(&mut self.session);
                let successful = self.reload_sip() && is_read;
                self.reload.conclude(successful);
                self.records.reopen();
                notify::ready();
            }
            Wish::Drain => drop(self.drain()),
        }
        false
    }

    /// Refuses new calls from here on. A drain under way keeps its deadline.
    pub(super) fn drain(&mut self) -> Draining {
        let (now, calls) = (Instant::now(), self.session.call_count());
        let patience = self.reload.settings().live.drain;
        let drain = *self.drain.get_or_insert_with(|| {
            tracing::info!(calls, "draining: new calls are refused");
            notify::status("draining");
            Drain::begin(now, patience)
        });
        self.session.set_draining(true);
        if let Some(door) = &mut self.sip {
            door.b2bua.set_draining(true);
        }
        Draining { calls, deadline_seconds: drain.deadline().saturating_duration_since(now).as_secs() }
    }

    /// Users, routes, trunks and certificates for S/MIME are read again, with the files that they name. False: they stay.
    fn reload_sip(&mut self) -> bool {
        let Some(door) = &mut self.sip else { return true };
        let settings = self.reload.settings();
        let (fixed, live) = (&settings.fixed.sip, &settings.live.sip);
        let read = sip_start::configuration(fixed, live, self.demo_password.as_ref()).and_then(|(config, users)| {
            sip_smime::configure(&mut door.b2bua, live)?;
            door.b2bua.reconfigure(config, users);
            Ok(())
        });
        door.transports.set_web(sip_start::web(live, &door.transports));
        if let Err(error) = &read {
            tracing::warn!("reload: {error:#}: users, routes, trunks and certificates of SIP stay as they were");
        }
        read.is_ok()
    }

    /// What has come due beside calls. True: the process is to end.
    pub(super) fn look_after(&mut self) -> bool {
        let now = Instant::now();
        self.pulse.beat(now);
        let Some(drain) = self.drain.filter(|drain| drain.is_over(now, self.session.call_count())) else {
            return false;
        };
        if now >= drain.deadline() {
            tracing::warn!("drain: the deadline has come, the calls that are left end");
        } else {
            tracing::info!("drain: the last call has ended");
        }
        true
    }

    /// When to look after it.
    pub(super) fn operations_due(&self) -> Option<Instant> {
        [self.pulse.due(), self.drain.map(|drain| drain.deadline())].into_iter().flatten().min()
    }

    pub(super) fn process_snapshot(&self) -> ProcessSnapshot {
        let reloaded = self.reload.succeeded_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        ProcessSnapshot {
            draining: self.drain.is_some(),
            reload_successful: self.reload.last_successful,
            reloaded: reloaded.as_secs_f64(),
        }
    }
}
