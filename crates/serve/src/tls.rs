//! The certificate that a server shows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use larnax_http::pem;
use tokio_rustls::TlsAcceptor;

/// A certificate and its key, PEM files. They are read again when they have changed, so that a rotated one is shown without a
/// restart.
#[derive(Debug)]
pub struct Certificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    made: Mutex<Option<Made>>,
}

/// When the files were changed, and what was made of them.
type Stamp = [Option<SystemTime>; 2];
struct Made(Stamp, TlsAcceptor);

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Made({:?})", self.0)
    }
}

impl Certificate {
    /// Reads both files and checks that they belong together.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn new(cert_file: PathBuf, key_file: PathBuf) -> Result<Self, String> {
        let certificate = Self { cert_file, key_file, made: Mutex::new(None) };
        certificate.acceptor()?;
        Ok(certificate)
    }

    /// What takes TLS connections. Where the files can't be read any more, that of before.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp =
            [&self.cert_file, &self.key_file].map(|path| path.metadata().and_then(|m| m.modified()).ok());
        if let Some(Made(_, acceptor)) = made.as_ref().filter(|made| made.0 == stamp) {
            return Ok(acceptor.clone());
        }
        match (self.build(), made.as_ref()) {
            (Ok(acceptor), _) => {
                *made = Some(Made(stamp, acceptor.clone()));
                Ok(acceptor)
            }
            (Err(error), Some(Made(_, acceptor))) => {
                tracing::warn!("the old certificate is shown: {error}");
                Ok(acceptor.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    fn build(&self) -> Result<TlsAcceptor, String> {
        let certificates =
            pem::certificates("TLS `cert_file`", &self.cert_file).map_err(|e| e.to_string())?;
        let key = pem::private_key(&self.key_file).map_err(|e| e.to_string())?;
        // Never the process-wide default provider: whoever links this crate may have another, or none.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| {
                let (cert, key) = (self.cert_file.display(), self.key_file.display());
                format!("the certificate {cert} can't be used with the key {key}: {error}")
            })?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
