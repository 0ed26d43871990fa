//! The agent's server over a real socket: who is let in, and what bounds it has.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::rc::Rc;

use support::{Answer, get, page, read, run, send, start, start_reloading};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NOTHING: &str = "host: false";
const TOKEN: &str = "host: false\napi: {bearer_token: s3cret}";
const JSON: &str = "Content-Type: application/json";

/// An agent with `yaml`, and a test that talks to it.
fn with_agent(yaml: &'static str, test: impl AsyncFnOnce(std::net::SocketAddr)) {
    let state = tempfile::tempdir().unwrap();
    run(async { test(start(yaml, state.path()).await).await });
}

#[test]
fn on_loopback_anybody_may_read_who_names_a_loopback_host() {
    with_agent(NOTHING, async |agent| {
        assert_eq!(get(agent, "/api/v1/status").await.status, 200);
        for host in ["localhost", "localhost:7676", "[::1]:7676"] {
            assert_eq!(
                send(agent, "GET /metrics", &[&format!("Host: {host}")], "").await.status,
                200,
                "{host}"
            );
        }
    });
}

#[test]
fn a_foreign_host_header_is_refused_on_loopback() {
    with_agent(NOTHING, async |agent| {
        for host in ["evil.example", "127.0.0.1.evil.example:7676", ""] {
            let answer = send(agent, "GET /api/v1/status", &[&format!("Host: {host}")], "").await;
            assert_eq!(answer.status, 403, "{host}");
            assert!(answer.error().contains("expected localhost"), "{answer:?}");
        }
    });
}

#[test]
fn a_token_is_asked_for_and_only_the_right_one_opens() {
    with_agent(TOKEN, async |agent| {
        for headers in [
            &[][..],
            &["Authorization: Bearer wrong"],
            &["Authorization: s3cret"],
            &["Authorization: Bearer"],
        ] {
            let answer = send(agent, "GET /api/v1/status", headers, "").await;
            assert_eq!(answer.status, 401, "{headers:?}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
            assert!(!answer.body.contains("s3cret"));
        }
        for scheme in ["Bearer", "bearer"] {
            let header = format!("Authorization: {scheme} s3cret");
            assert_eq!(send(agent, "GET /api/v1/status", &[&header], "").await.status, 200);
        }
        assert_eq!(get(agent, "/metrics").await.status, 401);
        assert_eq!(get(agent, "/-/healthy").await.status, 200, "probes have no token");
    });
}

#[test]
fn the_files_of_the_page_are_no_secret_because_it_asks_its_reader_for_the_token() {
    let state = tempfile::tempdir().unwrap();
    run(async {
        let agent = start_reloading(TOKEN, state.path(), Rc::default(), Some(page)).await;
        assert_eq!(get(agent, "/").await.status, 200);
        assert_eq!(get(agent, "/api/v1/status").await.status, 401);
    });
}

#[test]
fn what_changes_something_needs_json_and_no_foreign_page() {
    with_agent(NOTHING, async |agent| {
        let line = "POST /api/v1/normal";
        let body = r#"{"anomaly":"0000000000000001"}"#;
        assert_eq!(send(agent, line, &["Content-Type: text/plain"], body).await.status, 415);
        assert_eq!(send(agent, line, &[], body).await.status, 415);
        for origin in ["Origin: http://evil.example", "Origin: null"] {
            assert_eq!(send(agent, line, &[JSON, origin], body).await.status, 403, "{origin}");
            assert_eq!(send(agent, "POST /-/reload", &[origin], "").await.status, 403, "{origin}");
        }
        let own = format!("Origin: http://{agent}");
        let answer = send(agent, line, &[JSON, &own], body).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(answer.error().contains("is not open"));
    });
}

#[test]
fn a_declaration_that_can_t_be_read_says_what_was_expected() {
    with_agent(NOTHING, async |agent| {
        for body in ["{", "{}", r#"{"anomaly":"x"}"#, r#"{"anomaly":"0000000000000001","also":1}"#] {
            let answer = send(agent, "POST /api/v1/normal", &[JSON], body).await;
            assert_eq!(answer.status, 400, "{body}");
            assert!(answer.error().contains(r#"{"anomaly": "ID"}"#), "{answer:?}");
        }
    });
}

#[test]
fn a_body_above_the_limit_is_refused() {
    with_agent(NOTHING, async |agent| {
        let answer = send(agent, "POST /api/v1/normal", &[JSON], &"x".repeat(65 << 10)).await;
        assert_eq!(answer.status, 413);
        assert!(answer.error().contains("65536 bytes"), "{answer:?}");
    });
}

#[test]
fn an_unknown_path_leads_to_the_document_and_a_wrong_method_to_the_right_one() {
    with_agent(NOTHING, async |agent| {
        let answer = get(agent, "/api/v2/status").await;
        assert_eq!(answer.status, 404);
        assert!(answer.error().contains("/api/v1/openapi.json"));
        let allowed = async |line: &str, headers: &[&str]| {
            let answer = send(agent, line, headers, "").await;
            assert_eq!(answer.status, 405, "{line}");
            answer.head.lines().find_map(|l| l.strip_prefix("allow: ").map(str::to_owned)).unwrap()
        };
        assert_eq!(allowed("DELETE /api/v1/status", &[]).await, "get, head");
        assert_eq!(allowed("POST /api/v1/status", &[JSON]).await, "get, head");
        assert_eq!(allowed("GET /-/reload", &[]).await, "post");
    });
}

#[test]
fn head_answers_the_head_of_get() {
    with_agent(NOTHING, async |agent| {
        let answer = send(agent, "HEAD /-/healthy", &[], "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert!(answer.head.contains("content-length: 8"), "{answer:?}");
    });
}

#[test]
fn every_answer_forbids_sniffing_framing_and_foreign_scripts() {
    let state = tempfile::tempdir().unwrap();
    run(async {
        let agent = start_reloading(NOTHING, state.path(), Rc::default(), Some(page)).await;
        for path in ["/", "/metrics", "/nothing"] {
            let Answer { head, .. } = get(agent, path).await;
            for header in ["x-content-type-options: nosniff", "x-frame-options: deny", "default-src 'self'"] {
                assert!(head.contains(header), "{path}: {head}");
            }
        }
        assert_eq!(get(agent, "/").await.body, "<p>Larnax");
    });
}

#[test]
fn there_is_room_for_64_connections_and_again_when_one_ends() {
    with_agent(NOTHING, async |agent| {
        let mut open = Vec::new();
        for _ in 0..64 {
            open.push(TcpStream::connect(agent).await.unwrap());
        }
        let mut one_more = TcpStream::connect(agent).await.unwrap();
        assert_eq!(one_more.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed without a word");
        // A request on one of the 64 says that it is served, and ends it.
        let mut last = open.pop().unwrap();
        last.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(read(&mut last).await.status, 200);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(get(agent, "/-/healthy").await.status, 200);
    });
}

#[test]
fn a_request_that_never_ends_is_given_up() {
    with_agent(NOTHING, async |agent| {
        let head = b"GET /-/healthy HTTP/1.1\r\nHost: local".as_slice();
        let body = b"POST /api/v1/normal HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Connection: close\r\nContent-Length: 30\r\n\r\n{"
            .as_slice();
        for (request, status) in [(head, &[0, 408][..]), (body, &[408])] {
            let mut stream = TcpStream::connect(agent).await.unwrap();
            stream.write_all(request).await.unwrap();
            // What must be waited for from here on passes at once.
            tokio::time::pause();
            let answer = read(&mut stream).await;
            tokio::time::resume();
            assert!(status.contains(&answer.status), "{answer:?}");
        }
    });
}

#[test]
fn what_is_no_http_ends_its_own_connection_only() {
    with_agent(NOTHING, async |agent| {
        for junk in
            [&b"\x16\x03\x01\x02\x00\x01"[..], b"\r\n\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0xff; 20_000]]
        {
            let mut stream = TcpStream::connect(agent).await.unwrap();
            let _ = stream.write_all(junk).await;
            let _ = stream.shutdown().await;
            assert_ne!(read(&mut stream).await.status, 200);
        }
        assert_eq!(get(agent, "/-/healthy").await.status, 200);
    });
}
