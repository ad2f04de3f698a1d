//! Our certificate: read from files, or made.

use anyhow::{Context, anyhow};
use dtls::Identity;

use crate::settings::DtlsSettings;

/// The identity that the settings name.
pub(crate) fn load(settings: &DtlsSettings) -> anyhow::Result<Identity> {
    let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
        return Identity::generate().map_err(|error| anyhow!("no certificate: {error}"));
    };
    let read = |path: &std::path::PathBuf| std::fs::read(path).with_context(|| format!("{}", path.display()));
    let (certificate_pem, key_pem) = (read(certificate)?, zeroize::Zeroizing::new(read(key)?));
    Identity::from_pem(&certificate_pem, &key_pem)
        .map_err(|error| anyhow!("dtls.certificate {} with dtls.key {}: {error}", certificate.display(), key.display()))
}
