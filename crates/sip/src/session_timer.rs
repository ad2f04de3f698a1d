//! Session timers (RFC 4028).

use crate::{Fault, Headers, Refresher, SessionExpires, name};
use std::time::Duration;

/// What we ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionTimerConfig {
    /// The interval that we propose, in seconds: 1800 (§4).
    pub interval: u32,
    /// The shortest that we accept, in seconds: 90 (§5).
    pub min: u32,
}

impl Default for SessionTimerConfig {
    fn default() -> Self {
        Self { interval: 1800, min: 90 }
    }
}

/// What was agreed for a dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SessionTimer {
    pub(crate) seconds: u32,
    pub(crate) we_refresh: bool,
}

impl SessionTimer {
    /// What we answer to a request, and what is agreed by that. `Err` is Min-SE for a 422 (§9).
    pub(crate) fn answer(
        request: &Headers,
        config: &SessionTimerConfig,
    ) -> Result<(SessionExpires, Self), SessionTimerError> {
        let supported = request.list_contains(name::SUPPORTED, "timer");
        let Some(asked) = request.session_expires()? else {
            // A peer without timers leaves the refreshes to us (§9: the UAS may insert the header).
            let agreed = SessionExpires { seconds: config.interval, refresher: Some(Refresher::Uas) };
            return Ok((agreed, Self { seconds: config.interval, we_refresh: true }));
        };
        let min = config.min.max(request.min_se()?.unwrap_or(0));
        // Only a peer that supports timers understands 422; another's proxy put the header there.
        if asked.seconds < config.min && supported {
            return Err(SessionTimerError::TooSmall(config.min));
        }
        let refresher = match asked.refresher {
            Some(role) if supported => role,
            None if supported => Refresher::Uac,
            _ => Refresher::Uas,
        };
        let seconds = asked.seconds.max(min);
        let seconds = if asked.seconds > config.interval { config.interval.max(min) } else { seconds };
        let agreed = SessionExpires { seconds, refresher: Some(refresher) };
        Ok((agreed, Self { seconds, we_refresh: refresher == Refresher::Uas }))
    }

    /// What a 2xx to our request says; `None` without timer. Values below 90 s, or none where we asked, are taken for what
    /// they are worth: we refresh.
    pub(crate) fn agreed(response: &Headers) -> Option<Self> {
        let agreed = response.session_expires().ok().flatten()?;
        // A tiny interval would have us refresh without end.
        let seconds = agreed.seconds.max(32);
        Some(Self { seconds, we_refresh: agreed.refresher != Some(Refresher::Uas) })
    }

    /// When something is due after a refresh: half the interval for the refresher; for the other the end of it less a third,
    /// at most 32 s (§10).
    pub(crate) fn due(&self) -> Duration {
        let seconds = u64::from(self.seconds);
        Duration::from_secs(if self.we_refresh { seconds / 2 } else { seconds - (seconds / 3).min(32) })
    }
}

pub(crate) enum SessionTimerError {
    TooSmall(u32),
    Malformed(Fault),
}

impl From<Fault> for SessionTimerError {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[(&str, &str)]) -> Result<String, u32> {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.push(name, value);
        }
        match SessionTimer::answer(&headers, &SessionTimerConfig::default()) {
            Ok((agreed, timer)) => Ok(format!("{agreed} {}", timer.due().as_secs())),
            Err(SessionTimerError::TooSmall(min)) => Err(min),
            Err(SessionTimerError::Malformed(fault)) => panic!("{fault}"),
        }
    }

    /// Table 2 of RFC 4028 and the intervals of §10.
    #[test]
    fn the_server_chooses_by_the_rfcs_table() {
        let timer = ("Supported", "timer");
        assert_eq!(answer(&[]).as_deref(), Ok("1800;refresher=uas 900"));
        assert_eq!(answer(&[timer, ("Session-Expires", "1800")]).as_deref(), Ok("1800;refresher=uac 1768"));
        assert_eq!(
            answer(&[timer, ("Session-Expires", "1800;refresher=uas")]).as_deref(),
            Ok("1800;refresher=uas 900")
        );
        assert_eq!(answer(&[timer, ("x", "90;refresher=uac")]).as_deref(), Ok("90;refresher=uac 60"));
        assert_eq!(answer(&[("Session-Expires", "600")]).as_deref(), Ok("600;refresher=uas 300"));
        assert_eq!(answer(&[timer, ("Session-Expires", "4000")]).as_deref(), Ok("1800;refresher=uac 1768"));
        assert_eq!(
            answer(&[timer, ("Session-Expires", "4000"), ("Min-SE", "3600")]).as_deref(),
            Ok("3600;refresher=uac 3568")
        );
        assert_eq!(answer(&[timer, ("Session-Expires", "60")]), Err(90));
        assert_eq!(answer(&[("Session-Expires", "60")]).as_deref(), Ok("90;refresher=uas 45"));
    }
}
