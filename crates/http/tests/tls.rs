//! TLS with certificates made for the test.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{answer, get, read_request, serve};
use larnax_http::{Client, ClientOptions, Request, TlsOptions, Url};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

/// An authority, a server certificate and a client certificate, in PEM files of a temporary folder.
struct Pki {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { folder: tempfile::tempdir().unwrap(), ca };
        std::fs::write(pki.path("ca.pem"), pki.ca.pem()).unwrap();
        let (cert, key) = pki.issue("client.example");
        std::fs::write(pki.path("client.pem"), cert.pem()).unwrap();
        std::fs::write(pki.path("client.key"), key.serialize_pem()).unwrap();
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.ca).unwrap(), key)
    }

    /// A server whose certificate is for `name`; `mutual` asks clients for one.
    async fn serve(&self, name: &str, mutual: bool) -> Url {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(self.ca.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (cert, key) = self.issue(name);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let acceptor =
            TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![cert.der().clone()], key).unwrap()));
        let address = serve(move |_, stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    while !read_request(&mut stream).await.is_empty() {
                        stream.write_all(&answer("over TLS")).await.unwrap();
                    }
                }
            }
        })
        .await;
        Url::parse(&format!("https://{address}/metrics")).unwrap()
    }

    fn trusting(&self) -> TlsOptions {
        TlsOptions { ca_file: Some(self.path("ca.pem")), ..Default::default() }
    }
}

fn options(tls: TlsOptions) -> ClientOptions {
    ClientOptions { tls, timeout: Duration::from_secs(20), ..Default::default() }
}

async fn failure(tls: TlsOptions, url: &Url) -> String {
    get(options(tls), url).await.expect_err("it must not be trusted").to_string()
}

#[tokio::test]
async fn the_named_authority_is_trusted_and_the_connection_kept() {
    let pki = Pki::new();
    let url = pki.serve("127.0.0.1", false).await;
    let mut client = Client::new(options(pki.trusting())).unwrap();
    client.check_files(&url).unwrap();
    let mut body = Vec::new();
    for _ in 0..3 {
        client.send(Request::get(&url), &mut body).await.unwrap();
        assert_eq!(body, b"over TLS");
    }
    let traffic = client.traffic();
    assert!(traffic.connections == 1 && traffic.received > 1000, "{traffic:?}");
}

#[tokio::test]
async fn an_unknown_authority_is_refused_and_the_error_names_ca_file() {
    let pki = Pki::new();
    let url = pki.serve("127.0.0.1", false).await;
    let message = failure(TlsOptions::default(), &url).await;
    assert!(message.contains("TLS failed") && message.contains("`ca_file`"), "{message}");
    let skip = TlsOptions { insecure_skip_verify: true, ..Default::default() };
    assert_eq!(get(options(skip), &url).await.unwrap().1, b"over TLS");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_unless_that_name_is_expected() {
    let pki = Pki::new();
    let url = pki.serve("metrics.example", false).await;
    let message = failure(pki.trusting(), &url).await;
    assert!(message.contains("another name") && message.contains("`server_name`"), "{message}");
    let named = TlsOptions { server_name: Some("metrics.example".to_owned()), ..pki.trusting() };
    assert_eq!(get(options(named), &url).await.unwrap().1, b"over TLS");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_one() {
    let pki = Pki::new();
    let url = pki.serve("127.0.0.1", true).await;
    let message = failure(pki.trusting(), &url).await;
    assert!(message.contains("certificate") && message.contains("`cert_file`"), "{message}");
    let mutual = TlsOptions {
        cert_file: Some(pki.path("client.pem")),
        key_file: Some(pki.path("client.key")),
        ..pki.trusting()
    };
    assert_eq!(get(options(mutual.clone()), &url).await.unwrap().1, b"over TLS");
    std::fs::copy(pki.path("ca.pem"), pki.path("client.pem")).unwrap();
    let message = failure(mutual, &url).await;
    assert!(message.contains("belongs to `key_file`"), "{message}");
}

#[tokio::test]
async fn plain_http_where_tls_was_expected_says_so() {
    let address = serve(|_, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let message = failure(TlsOptions::default(), &Url::parse(&format!("https://{address}/")).unwrap()).await;
    assert!(message.contains("no TLS") && message.contains("http://"), "{message}");
}

#[tokio::test]
async fn a_connection_closed_during_the_handshake_says_so() {
    let address = serve(|_, stream| async move { drop(stream) }).await;
    let message = failure(TlsOptions::default(), &Url::parse(&format!("https://{address}/")).unwrap()).await;
    assert!(message.contains("during the handshake"), "{message}");
}
