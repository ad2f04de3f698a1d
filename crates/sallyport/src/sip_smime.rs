//! The table [sip.smime]: certificates for signing and opening bodies (RFC 3261 §23).

use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context, anyhow};
use b2bua::{B2bua, SmimeSettings};
use session::Clocks;
use smime::{Certificate, OwnIdentity, SmimeConfig};
use zeroize::Zeroizing;

use crate::settings::{SipLive, SmimeSetting};

/// Reads the files, and gives the back-to-back user agent what is in them. An error leaves it as it was.
pub(crate) fn configure(b2bua: &mut B2bua, live: &SipLive) -> anyhow::Result<()> {
    let config = read(&live.smime)?;
    let SmimeSetting { unverified, cipher, .. } = live.smime;
    let settings = SmimeSettings { config, unverified, cipher, clocks: clocks() };
    b2bua.set_smime(settings).map_err(|fault| anyhow!("sip.smime.anchors: {fault}"))
}

/// The clocks of this moment.
pub(crate) fn clocks() -> Clocks {
    Clocks { instant: Instant::now(), system: SystemTime::now() }
}

/// Whom we speak for and whom we believe, from the files that the settings name.
pub(crate) fn read(setting: &SmimeSetting) -> anyhow::Result<SmimeConfig> {
    let mut config = SmimeConfig::default();
    if let (Some(certificate), Some(key)) = (&setting.certificate, &setting.key) {
        let chain = file("sip.smime.certificate", certificate)?;
        let secret = Zeroizing::new(file("sip.smime.key", key)?);
        let identity = OwnIdentity::from_pem(&chain, &secret).map_err(|fault| {
            let (option, path) = match fault {
                smime::Misconfigured::Key | smime::Misconfigured::KeyMismatch => ("key", key),
                _ => ("certificate", certificate),
            };
            anyhow!("sip.smime.{option}: {}: {fault}", path.display())
        })?;
        config.identities.push(identity);
    }
    config.anchors = certificates("sip.smime.anchors", setting.anchors.as_deref())?;
    config.pinned = certificates("sip.smime.pinned", setting.pinned.as_deref())?;
    Ok(config)
}

fn certificates(option: &str, path: Option<&Path>) -> anyhow::Result<Vec<Certificate>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    Certificate::from_pem(&file(option, path)?).ok_or_else(|| {
        anyhow!(
            "{option}: {}: not PEM of certificates with RSA keys of 2048 bits or more, or on P-256 or P-384",
            path.display()
        )
    })
}

fn file(option: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{option}: {}", path.display()))
}
