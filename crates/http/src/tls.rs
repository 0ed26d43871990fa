//! TLS: whom the client trusts, which certificate it shows, and what to do when it fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use crate::pem::{certificates, private_key};
use crate::{HttpError, Url};

/// Sessions that one client can resume: it talks to one server, perhaps behind a few addresses. The library's own
/// default is 256.
const KEPT_SESSIONS: usize = 4;

/// How TLS is done. Files are PEM; they are read when a connection is opened and have changed, so that rotated
/// certificates are used without a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The authorities that are trusted instead of the public ones (those of Mozilla, built in).
    pub ca_file: Option<PathBuf>,
    /// The certificate that the client shows, with its chain. Needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The key of `cert_file`.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must have, where it is not the URL's host.
    pub server_name: Option<String>,
    /// Accept any certificate: then anybody on the way can read and change what is sent.
    pub insecure_skip_verify: bool,
}

/// Which version of a file was read.
type Stamp = (PathBuf, Option<SystemTime>, u64);

/// The options, and the configuration made of them.
pub(crate) struct Tls {
    options: TlsOptions,
    server_name: Option<ServerName<'static>>,
    made: Option<(Vec<Stamp>, Arc<ClientConfig>)>,
}

impl Tls {
    /// Checks what can be checked without files.
    pub(crate) fn new(options: TlsOptions) -> Result<Self, HttpError> {
        if options.cert_file.is_some() != options.key_file.is_some() {
            let (given, missing) = match options.cert_file {
                Some(_) => ("cert_file", "key_file"),
                None => ("key_file", "cert_file"),
            };
            return Err(HttpError::Options(format!(
                "TLS has `{given}` but no `{missing}`: expected both, or neither"
            )));
        }
        let server_name = options.server_name.as_deref().map(|name| {
            ServerName::try_from(name.to_owned()).map_err(|_| {
                HttpError::Options(format!(
                    "TLS `server_name` is `{name}`: expected a DNS name or an IP address"
                ))
            })
        });
        Ok(Self { server_name: server_name.transpose()?, options, made: None })
    }

    /// The name that the certificate of `url` must have.
    pub(crate) fn server_name(&self, url: &Url) -> Result<ServerName<'static>, HttpError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(url.host().to_owned()).map_err(|_| HttpError::Url {
                url: url.to_string(),
                reason: "its host is neither a DNS name nor an IP address, as TLS needs",
            }),
        }
    }

    /// The same trust, without what belongs to the configured server alone.
    pub(crate) fn for_another_origin(&self) -> Self {
        let TlsOptions { ca_file, insecure_skip_verify, .. } = self.options.clone();
        let options = TlsOptions { ca_file, insecure_skip_verify, ..TlsOptions::default() };
        Self { options, server_name: None, made: None }
    }

    /// The configuration, made anew when a file has changed.
    pub(crate) fn config(&mut self) -> Result<Arc<ClientConfig>, HttpError> {
        let TlsOptions { ca_file, cert_file, key_file, .. } = &self.options;
        let stamps: Vec<Stamp> = [ca_file, cert_file, key_file].into_iter().flatten().map(stamp).collect();
        if let Some((made_from, config)) = &self.made
            && *made_from == stamps
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(build(&self.options)?);
        self.made = Some((stamps, Arc::clone(&config)));
        Ok(config)
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let found = std::fs::metadata(path).ok();
    let length = found.as_ref().map_or(0, std::fs::Metadata::len);
    (path.clone(), found.and_then(|found| found.modified().ok()), length)
}

fn build(options: &TlsOptions) -> Result<ClientConfig, HttpError> {
    // Never the process-wide default provider: whoever links this crate may have another, or none.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let internal = |e: Error| HttpError::Options(format!("TLS can't be set up: {e}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(internal)?;
    let builder = if options.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
    } else {
        builder.with_root_certificates(roots(options.ca_file.as_deref())?)
    };
    let mut config = match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates("TLS `cert_file`", cert)?, private_key(key)?)
            .map_err(|e| HttpError::File {
                option: "TLS `cert_file`",
                path: cert.clone(),
                reason: format!("{e}; expected a certificate that belongs to `key_file` {}", key.display()),
            })?,
        _ => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(KEPT_SESSIONS);
    Ok(config)
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates("TLS `ca_file`", path)? {
                roots.add(certificate).map_err(|e| HttpError::File {
                    option: "TLS `ca_file`",
                    path: path.to_owned(),
                    reason: format!("one of its certificates is no certificate of an authority ({e})"),
                })?;
            }
        }
    }
    Ok(roots)
}

/// Accepts any certificate, for `insecure_skip_verify`. The handshake's signatures are still checked: only the name and
/// the issuer don't matter.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What to say about a TLS failure: what was found, and what to do.
pub(crate) fn explain(url: &Url, error: &Error) -> HttpError {
    let (reason, hint) = match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => (
                "its certificate was issued by an authority that is not trusted here".to_owned(),
                "expected one of the public authorities, or of `ca_file`: name the right authority's certificate \
                 there",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                format!("its certificate is for another name ({certificate})"),
                "expected the URL's host: ask by that name, or set `server_name` to a name of the certificate",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                format!("its certificate has expired ({certificate})"),
                "renew it there, or set this machine's clock",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                format!("its certificate is not valid yet ({certificate})"),
                "set this machine's clock, or look at the certificate",
            ),
            other => (
                format!("its certificate is not acceptable ({other})"),
                "look at the server's certificate; a self-signed one must be named in `ca_file` and must not be \
                 marked as an authority",
            ),
        },
        Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => (
            format!("the server refused the client's certificate, or misses it (alert {alert:?})"),
            "name a certificate that the server accepts under `cert_file` and `key_file`",
        ),
        Error::AlertReceived(alert) => (
            format!("the server ended the handshake with alert {alert:?}"),
            "expected TLS 1.2 or 1.3 with a common cipher, and perhaps `cert_file` and `key_file`",
        ),
        Error::InvalidMessage(_) => (
            "what the server sent is no TLS".to_owned(),
            "if it speaks plain HTTP there, ask http:// instead of https://",
        ),
        other => (other.to_string(), "expected TLS 1.2 or 1.3"),
    };
    HttpError::Tls { url: url.to_string(), reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_error(options: TlsOptions) -> String {
        match Tls::new(options).map(|mut tls| tls.config().map(drop)) {
            Ok(Ok(())) => panic!("expected an error"),
            Ok(Err(e)) | Err(e) => {
                assert!(e.is_config());
                e.to_string()
            }
        }
    }

    #[test]
    fn options_that_cant_be_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing here").unwrap();
        let path = || Some(empty.clone());
        let none = TlsOptions::default;
        for (options, expected) in [
            (TlsOptions { cert_file: path(), ..none() }, "`cert_file` but no `key_file`"),
            (TlsOptions { key_file: path(), ..none() }, "`key_file` but no `cert_file`"),
            (TlsOptions { ca_file: path(), ..none() }, "holds no certificate"),
            (TlsOptions { ca_file: Some("/does/not/exist".into()), ..none() }, "No such file"),
            (TlsOptions { server_name: Some("a b".into()), ..none() }, "`server_name` is `a b`"),
        ] {
            let message = config_error(options);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_configuration_is_made_once_and_anew_when_a_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let make = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert.pem();
        std::fs::write(&path, make("a.example")).unwrap();
        let mut tls = Tls::new(TlsOptions { ca_file: Some(path.clone()), ..Default::default() }).unwrap();
        let first = tls.config().unwrap();
        assert!(Arc::ptr_eq(&first, &tls.config().unwrap()));
        std::fs::write(&path, make("a.example") + &make("b.example")).unwrap();
        assert!(!Arc::ptr_eq(&first, &tls.config().unwrap()));
    }
}
