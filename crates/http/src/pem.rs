//! PEM files: certificates and keys.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::HttpError;
use crate::auth::read_file;

/// The certificates of a PEM file; `option` is what names it in messages.
pub fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let error = |reason: String| HttpError::File { option, path: path.to_owned(), reason };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read_file(option, path)?)
        .collect::<Result<_, _>>()
        .map_err(|e| error(format!("{e}; expected PEM with `-----BEGIN CERTIFICATE-----`")))?;
    if certificates.is_empty() {
        return Err(error(
            "it holds no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`".to_owned(),
        ));
    }
    Ok(certificates)
}

/// The private key of a PEM file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, HttpError> {
    let option = "TLS `key_file`";
    PrivateKeyDer::from_pem_slice(&read_file(option, path)?).map_err(|_| HttpError::File {
        option,
        path: path.to_owned(),
        reason: "it holds no private key; expected PEM with `-----BEGIN PRIVATE KEY-----`, not encrypted"
            .to_owned(),
    })
}
