//! Hostile and broken targets: each costs that target its data, never the agent.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::{answer, empty_batch, failure, options, read_request, serve, source};
use flate2::Compression;
use flate2::write::GzEncoder;
use larnax_collect::scrape::{Gzip, ScrapeOptions, ScrapeSource};
use larnax_collect::{ErrorClass, Source, SourceError};
use larnax_core::SystemClock;
use larnax_http::{Auth, SecretSource, TlsOptions, Url};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A target that answers every connection's first request with these bytes and closes.
async fn target(reply: Arc<[u8]>) -> SocketAddr {
    serve(move |_, mut stream| {
        let reply = Arc::clone(&reply);
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&reply).await;
        }
    })
    .await
}

async fn error_for(reply: Arc<[u8]>) -> SourceError {
    let mut source = source(options(target(reply).await));
    let error = failure(&mut source).await;
    assert_eq!((source.cost().failures, source.cost().collections), (1, 0));
    error
}

#[tokio::test]
async fn a_bad_status_is_named_with_the_start_of_its_body() {
    let long = format!("\x1b[31mout of\r\nmemory {}", "x".repeat(100_000));
    let error = error_for(answer("500 Internal Server Error", "", long.as_bytes())).await;
    assert_eq!(error.class, ErrorClass::Target);
    assert!(
        error.message.contains("answered 500 Internal Server Error with `[31mout of memory xxx"),
        "{error}"
    );
    assert!(error.message.contains("expected 200") && error.message.len() < 500, "{error}");
    for (status, hint) in
        [("401 Unauthorized", "password"), ("404 Not Found", "path"), ("302 Found", "redirects")]
    {
        let message = error_for(answer(status, "", b"")).await.message;
        assert!(message.contains(status) && message.contains(hint), "{message}");
    }
}

#[tokio::test]
async fn an_endless_body_runs_into_its_limit() {
    let address = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        let mut alive = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok();
        while alive {
            alive = stream.write_all(&b"a 1\n".repeat(10_000)).await.is_ok();
        }
    })
    .await;
    let mut source = source(options(address));
    let error = failure(&mut source).await;
    assert_eq!(error.class, ErrorClass::Limit);
    assert!(error.message.contains("1048576 bytes"), "{error}");
    assert!(source.cost().bytes_read < 3 << 20, "{:?}", source.cost());
}

#[tokio::test]
async fn a_body_in_drips_and_a_target_that_hangs_run_into_their_timeout() {
    for drip in [&b"a"[..], b""] {
        let address = serve(move |_, mut stream| async move {
            read_request(&mut stream).await;
            let mut alive = drip.is_empty() || stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok();
            for _ in 0..100 {
                alive = alive && stream.write_all(drip).await.is_ok();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let brief = ScrapeOptions { timeout: Duration::from_millis(300), ..options(address) };
        let error = failure(&mut source(brief)).await;
        assert_eq!(error.class, ErrorClass::Target);
        let phase = if drip.is_empty() { "waiting for the answer" } else { "reading the body" };
        assert!(error.message.contains("0.3 s") && error.message.contains(phase), "{error}");
    }
}

#[tokio::test]
async fn a_gzip_bomb_runs_into_its_limit() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![b'\n'; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let error = error_for(answer("200 OK", "content-encoding: gzip\r\n", &bomb)).await;
    assert_eq!(error.class, ErrorClass::Limit);
    assert!(error.message.contains("1048576 bytes when decompressed"), "{error}");
}

#[tokio::test]
async fn an_encoding_that_is_unknown_or_a_lie_is_named() {
    let error = error_for(answer("200 OK", "content-encoding: br\r\n", b"a 1\n")).await;
    assert!(error.message.contains("`br`; expected gzip"), "{error}");
    let error = error_for(answer("200 OK", "content-encoding: gzip\r\n", b"a 1\n")).await;
    assert!(error.message.contains("says that it is gzip but isn't"), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_gives_no_row() {
    let error =
        error_for(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na 1\nb 2\n".as_slice().into()).await;
    assert!(error.message.contains("8 bytes of the 100 announced"), "{error}");
    let openmetrics = "content-type: application/openmetrics-text; version=1.0.0\r\n";
    let error = error_for(answer("200 OK", openmetrics, b"a 1\nb 2\n")).await;
    assert!(error.message.contains("# EOF"), "{error}");
}

#[tokio::test]
async fn what_holds_no_metrics_says_what_it_is() {
    let page = b"<!DOCTYPE html>\n<html><body>Hello</body></html>\n";
    let error = error_for(answer("200 OK", "content-type: text/html\r\n", page)).await;
    assert_eq!(error.class, ErrorClass::Target);
    assert!(error.message.contains("<!DOCTYPE") && error.message.contains("text/html"), "{error}");
    for empty in [&b""[..], b"\n\n", b"# nothing\n"] {
        let error = error_for(answer("200 OK", "", empty)).await;
        assert!(error.message.contains("holds no metrics"), "{error}");
    }
}

#[tokio::test]
async fn a_header_bomb_runs_into_its_limit() {
    let header = format!("x: {}\r\n", "y".repeat(500_000));
    let error = error_for(answer("200 OK", &header, b"a 1\n")).await;
    assert_eq!(error.class, ErrorClass::Limit);
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = failure(&mut source(options(address))).await;
    assert_eq!(error.class, ErrorClass::Target);
    assert!(error.message.contains(&format!("can't connect to {address}")), "{error}");
}

#[tokio::test]
async fn a_missing_password_file_is_a_matter_of_config() {
    let address = target(answer("200 OK", "", b"a 1\n")).await;
    let auth = Auth::bearer(SecretSource::File("/does/not/exist".into()));
    let error = failure(&mut source(ScrapeOptions { auth, ..options(address) })).await;
    assert_eq!(error.class, ErrorClass::Config);
    assert!(error.message.contains("/does/not/exist"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_names_the_option() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let reply = answer("200 OK", "", b"a 1\n");
    let address = serve(move |_, stream| {
        let (acceptor, reply) = (acceptor.clone(), Arc::clone(&reply));
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read_request(&mut stream).await;
                let _ = stream.write_all(&reply).await;
            }
        }
    })
    .await;
    let url = Url::parse(&format!("https://{address}/metrics")).unwrap();
    let options = ScrapeOptions { url, ..options(address) };
    let error = failure(&mut source(options.clone())).await;
    assert_eq!(error.class, ErrorClass::Target);
    assert!(error.message.contains("TLS failed") && error.message.contains("`ca_file`"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let tls = TlsOptions { ca_file: Some(ca), ..TlsOptions::default() };
    source(ScrapeOptions { tls, ..options }).collect(&mut empty_batch()).await.unwrap();
}

#[tokio::test]
async fn options_that_cant_be_are_refused_at_once() {
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for options in [
        ScrapeOptions { timeout: Duration::from_secs(6), ..options(address) },
        ScrapeOptions { timeout: Duration::ZERO, ..options(address) },
        ScrapeOptions { sample_limit: 0, ..options(address) },
        ScrapeOptions {
            tls: TlsOptions { cert_file: Some("a".into()), ..TlsOptions::default() },
            gzip: Gzip::Never,
            ..options(address)
        },
    ] {
        let error = ScrapeSource::new(options, Rc::new(SystemClock)).err().unwrap();
        assert_eq!(error.class, ErrorClass::Config);
        assert!(!error.message.contains("hush"), "{error}");
    }
}
