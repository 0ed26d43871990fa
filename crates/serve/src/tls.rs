//! The certificate that a server shows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use larnax_http::pem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate and its key. Those from files are read again when they have changed, so that a rotated one is shown without a
/// restart. Clones show the same.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate's and the key's; none where another one is given by hand.
    files: Option<[PathBuf; 2]>,
    made: Arc<Mutex<Option<Made>>>,
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
    /// Reads both files, PEM, and checks that they belong together.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn new(cert_file: PathBuf, key_file: PathBuf) -> Result<Self, String> {
        let certificate = Self { files: Some([cert_file, key_file]), made: Arc::default() };
        certificate.acceptor()?;
        Ok(certificate)
    }

    /// None yet: connections are refused until [`Certificate::replace`] gives one.
    pub fn none_yet() -> Self {
        Self { files: None, made: Arc::default() }
    }

    /// Shows this one, PEM, from now on.
    ///
    /// # Errors
    /// Where the two don't belong together; then that of before is shown.
    pub fn replace(&self, cert: &[u8], key: &[u8]) -> Result<(), String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
        let certificates = certificates.map_err(|error| format!("no certificate: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("no key: {error}"))?;
        let acceptor =
            acceptor(certificates, key).map_err(|error| format!("the certificate can't be used: {error}"))?;
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(Made(Stamp::default(), acceptor));
        Ok(())
    }

    /// What takes TLS connections. Where the files can't be read any more, that of before.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(files) = &self.files else {
            return made.as_ref().map(|made| made.1.clone()).ok_or_else(|| "none was made yet".to_owned());
        };
        let stamp = files.each_ref().map(|path| path.metadata().and_then(|m| m.modified()).ok());
        if let Some(Made(_, acceptor)) = made.as_ref().filter(|made| made.0 == stamp) {
            return Ok(acceptor.clone());
        }
        match (build(files), made.as_ref()) {
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
}

fn build([cert_file, key_file]: &[PathBuf; 2]) -> Result<TlsAcceptor, String> {
    let certificates = pem::certificates("TLS `cert_file`", cert_file).map_err(|e| e.to_string())?;
    let key = pem::private_key(key_file).map_err(|e| e.to_string())?;
    acceptor(certificates, key).map_err(|error| {
        let (cert, key) = (cert_file.display(), key_file.display());
        format!("the certificate {cert} can't be used with the key {key}: {error}")
    })
}

fn acceptor(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, rustls::Error> {
    // Never the process-wide default provider: whoever links this crate may have another, or none.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
