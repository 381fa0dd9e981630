//! TLS for mail and webhooks: one provider of cryptography, and authorities from files.
//!
//! Guarantees: the provider is rustls with ring, installed once, whoever asks first. Does not connect.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Why authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesRefused {
    /// The file cannot be read.
    #[error("failed to read the CA file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no certificate, or a broken one.
    #[error("the CA file {path} holds no PEM certificate")]
    NotPem {
        /// The file.
        path: String,
    },
}

/// Installs ring as the process's provider. Called by `main` and by whoever needs TLS: the first call counts.
pub fn install_provider() {
    // The error says that one is installed: nothing is wrong then.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The bytes of a PEM file, once it is known to hold certificates.
pub(super) fn read_pem(path: &Path) -> Result<Vec<u8>, AuthoritiesRefused> {
    let shown = || path.display().to_string();
    let pem = std::fs::read(path).map_err(|source| AuthoritiesRefused::Read { path: shown(), source })?;
    let mut certificates = CertificateDer::pem_slice_iter(&pem).peekable();
    if certificates.peek().is_none() || certificates.any(|c| c.is_err()) {
        return Err(AuthoritiesRefused::NotPem { path: shown() });
    }
    Ok(pem)
}

/// The authorities of a PEM file.
pub(super) fn read_authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, AuthoritiesRefused> {
    let pem = read_pem(path)?;
    reqwest::Certificate::from_pem_bundle(&pem)
        .map_err(|_| AuthoritiesRefused::NotPem { path: path.display().to_string() })
}
