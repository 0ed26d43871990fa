//! What a scrape asks for, and what becomes of the answer.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use common::{START, answer, empty_batch, options, read_request, serve, source};
use flate2::Compression;
use flate2::write::GzEncoder;
use larnax_collect::Source;
use larnax_collect::scrape::{Gzip, ScrapeOptions};
use larnax_core::MetricKind;
use larnax_http::{Auth, HeaderName, HeaderValue, SecretSource};
use tokio::io::AsyncWriteExt;

/// A target that always answers the same and notes what it was asked.
async fn target(reply: Arc<[u8]>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let notes = Arc::clone(&seen);
    let address = serve(move |_, mut stream| {
        let (notes, reply) = (Arc::clone(&notes), Arc::clone(&reply));
        async move {
            loop {
                let request = read_request(&mut stream).await;
                if request.is_empty() {
                    return;
                }
                notes.lock().unwrap().push(request);
                stream.write_all(&reply).await.unwrap();
            }
        }
    })
    .await;
    (address, seen)
}

const TEXT: &[u8] = b"# TYPE a gauge\na 1\n# TYPE b_total counter\nb_total{x=\"y\"} 2\n";

#[tokio::test]
async fn a_scrape_is_one_row_stamped_with_the_time_at_which_it_began() {
    let (address, _) = target(answer("200 OK", "content-type: text/plain; version=0.0.4\r\n", TEXT)).await;
    let mut source = source(options(address));
    let mut batch = empty_batch();
    for _ in 0..3 {
        source.collect(&mut batch).await.unwrap();
        let rows: Vec<_> = batch.rows().collect();
        assert_eq!((rows.len(), rows[0].time, rows[0].values), (1, START, [1.0, 2.0].as_slice()));
    }
    assert_eq!(batch.schema().metrics()[1].kind, MetricKind::Counter);
    assert_eq!(source.name(), format!("http://{address}/metrics?…"));
    let cost = source.cost();
    assert_eq!((cost.collections, cost.failures, cost.connections), (3, 0, 1));
    assert!(cost.bytes_read > 3 * TEXT.len() as u64 && cost.bytes_sent > 300, "{cost:?}");
}

#[tokio::test]
async fn openmetrics_is_asked_for_first_and_recognised_by_its_content_type() {
    let body = b"# TYPE a counter\na_total 1 # {trace=\"x\"} 0.5\n# EOF\n";
    let (address, seen) =
        target(answer("200 OK", "content-type: application/openmetrics-text; version=1.0.0\r\n", body)).await;
    let mut batch = empty_batch();
    source(options(address)).collect(&mut batch).await.unwrap();
    assert_eq!(batch.schema().name(0).as_str(), "a_total");
    let request = seen.lock().unwrap()[0].clone();
    let accept = request.lines().find(|line| line.starts_with("accept: ")).unwrap();
    assert!(
        accept.find("openmetrics-text;version=1.0.0") < accept.find("text/plain;version=0.0.4"),
        "{accept}"
    );
    assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
    assert!(request.contains("x-prometheus-scrape-timeout-seconds: 5\r\n"), "{request}");
    assert!(request.contains("authorization: Basic dXNlcjpodXNo\r\n"), "{request}");
}

#[tokio::test]
async fn a_compressed_body_is_asked_for_and_understood() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(TEXT).unwrap();
    let (address, seen) =
        target(answer("200 OK", "content-encoding: gzip\r\n", &encoder.finish().unwrap())).await;
    let mut source = source(ScrapeOptions { gzip: Gzip::Always, ..options(address) });
    let mut batch = empty_batch();
    for _ in 0..2 {
        source.collect(&mut batch).await.unwrap();
        assert_eq!(batch.rows().next().unwrap().values, [1.0, 2.0]);
    }
    assert!(seen.lock().unwrap()[0].contains("accept-encoding: gzip\r\n"));
}

#[tokio::test]
async fn configured_headers_and_a_rotated_password_file_are_sent() {
    let (address, seen) = target(answer("200 OK", "", TEXT)).await;
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    let mut source = source(ScrapeOptions {
        auth: Auth::Basic {
            username: SecretSource::Inline(larnax_http::Secret::new("scraper")),
            password: SecretSource::File(password.clone()),
        },
        headers: vec![
            (HeaderName::from_static("x-tenant"), HeaderValue::from_static("7")),
            (HeaderName::from_static("accept"), HeaderValue::from_static("text/plain")),
        ],
        ..options(address)
    });
    let mut batch = empty_batch();
    assert!(source.check_files().is_err());
    for text in ["hush\n", "hush2\n"] {
        std::fs::write(&password, text).unwrap();
        source.check_files().unwrap();
        source.collect(&mut batch).await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert!(seen[0].contains("x-tenant: 7\r\n") && seen[0].contains("accept: text/plain\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("authorization: Basic c2NyYXBlcjpodXNo\r\n"), "{}", seen[0]);
    assert!(seen[1].contains("authorization: Basic c2NyYXBlcjpodXNoMg==\r\n"), "{}", seen[1]);
}

#[tokio::test]
async fn series_above_the_limit_are_refused_and_counted_and_the_others_taken() {
    let body: String = (0..1000).map(|i| format!("m{i} {i}\n")).collect();
    let (address, _) = target(answer("200 OK", "", body.as_bytes())).await;
    let mut source = source(options(address));
    let mut batch = empty_batch();
    source.collect(&mut batch).await.unwrap();
    assert_eq!((batch.schema().len(), source.cost().refused_samples), (100, 900));
}

#[tokio::test]
async fn bad_lines_are_counted_and_the_others_taken() {
    let body = b"a 1\na 2\nno number\nb nonsense\nc 3\n";
    let (address, _) = target(answer("200 OK", "content-type: text/html\r\n", body)).await;
    let mut source = source(options(address));
    let mut batch = empty_batch();
    source.collect(&mut batch).await.unwrap();
    assert_eq!(batch.rows().next().unwrap().values, [1.0, 3.0]);
    assert_eq!(source.cost().bad_samples, 3);
}
