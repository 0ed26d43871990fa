//! Servers that hang, drip, flood, lie or break off: each ends in a clear error, within time and memory.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{get, impatient, patient, read_request, serve, url};
use larnax_http::{Client, ClientOptions, HttpError, Phase, Request, Url};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// What a client says to a server that answers with these bytes and closes.
async fn error_for(bytes: &'static [u8]) -> HttpError {
    let address = serve(move |_, mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(bytes).await;
    })
    .await;
    get(patient(), &url(address)).await.expect_err("the answer is bad")
}

/// Sends a piece again and again until the client hangs up.
async fn flood(mut stream: TcpStream, head: &[u8], piece: &[u8]) {
    read_request(&mut stream).await;
    let mut alive = stream.write_all(head).await.is_ok();
    while alive {
        alive = stream.write_all(piece).await.is_ok();
    }
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_the_limit_and_no_further() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n"] {
        let address =
            serve(move |_, stream| async move { flood(stream, head.as_bytes(), &[b'x'; 65536]).await }).await;
        let mut client = Client::new(patient()).unwrap();
        let mut body = Vec::new();
        let url = url(address);
        let error = client.send(Request::get(&url), &mut body).await.unwrap_err();
        assert!(error.is_limit() && error.to_string().contains("1048576 bytes"), "{error}");
        assert!(body.capacity() <= 4 << 20 && client.traffic().received < 3 << 20);
    }
}

#[tokio::test]
async fn an_endless_chunked_body_is_read_up_to_the_limit_too() {
    let address = serve(|_, stream| async move {
        flood(stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"4\r\nxxxx\r\n").await;
    })
    .await;
    let options = ClientOptions { max_body: 1 << 14, ..patient() };
    let error = get(options, &url(address)).await.unwrap_err();
    assert!(error.is_limit(), "{error}");
}

#[tokio::test]
async fn a_body_in_drips_ends_at_the_timeout() {
    let address = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        let mut alive = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok();
        while alive {
            alive = stream.write_all(b"x").await.is_ok();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let error = get(impatient(), &url(address)).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Reading, .. }), "{error:?}");
    assert!(error.to_string().contains("0.3 s while reading the body"), "{error}");
}

#[tokio::test]
async fn a_header_in_drips_and_a_target_that_hangs_end_at_the_timeout() {
    for drip in [&b"x: y\r\n"[..], b""] {
        let address = serve(move |_, mut stream| async move {
            read_request(&mut stream).await;
            let mut alive = drip.is_empty() || stream.write_all(b"HTTP/1.1 200 OK\r\n").await.is_ok();
            for _ in 0..50 {
                alive = alive && stream.write_all(drip).await.is_ok();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let error = get(impatient(), &url(address)).await.unwrap_err();
        assert!(matches!(error, HttpError::Timeout { phase: Phase::Waiting, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_ends_at_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let error = get(impatient(), &url).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Handshaking, .. }), "{error:?}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let message = get(patient(), &url(address)).await.unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("http://{address}/metrics?…: can't connect to {address}")),
        "{message}"
    );
    assert!(message.contains("refused") && message.contains("expected a server"), "{message}");
}

#[tokio::test]
async fn a_name_without_an_address_is_a_matter_of_dns() {
    // A label has at most 63 bytes (RFC 1035 section 2.3.4), so that the resolver refuses this one without asking around.
    let name = "x".repeat(64);
    let url = Url::parse(&format!("http://{name}/metrics")).unwrap();
    let options = patient();
    let message = get(options, &url).await.unwrap_err().to_string();
    assert!(message.contains(&format!("the name `{name}` has no address")), "{message}");
}

#[tokio::test]
async fn a_body_that_breaks_off_says_where() {
    let message = error_for(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.to_string();
    assert!(message.contains("broke off after 4 bytes of the 10 announced"), "{message}");
    let message =
        error_for(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await.to_string();
    assert!(message.contains("broke off after 4 bytes, before its end"), "{message}");
    let message =
        error_for(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n").await.to_string();
    assert!(message.contains("broke off after 0 bytes"), "{message}");
}

#[tokio::test]
async fn a_header_that_breaks_off_or_never_comes_is_named() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-le"] {
        let message = error_for(bytes).await.to_string();
        assert!(message.contains("closed before an answer came"), "{message}");
    }
}

#[tokio::test]
async fn a_header_bomb_is_refused_with_its_limit() {
    let address = serve(|_, stream| async move {
        flood(stream, b"HTTP/1.1 200 OK\r\nx: ", &[b'y'; 4096]).await;
    })
    .await;
    let mut client = Client::new(patient()).unwrap();
    let url = url(address);
    let error = client.send(Request::get(&url), &mut Vec::new()).await.unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("the header"), "{error}");
    assert!(client.traffic().received <= 256 << 10, "{:?}", client.traffic());
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(150));
    let error = error_for(many.leak().as_bytes()).await;
    assert!(error.is_limit() && error.to_string().contains("100 fields"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_says_so() {
    for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\x15\x03\x01\x00\x02\x02\x0a", b"\xff\xfe\x00\n\n"] {
        let message = error_for(bytes).await.to_string();
        assert!(message.contains("no HTTP/1.1 answer"), "{message}");
        assert!(message.contains("expected `HTTP/1.1 200 OK`") && message.contains("https://"), "{message}");
    }
}

#[tokio::test]
async fn any_bytes_at_all_end_in_an_answer_or_an_error() {
    // A fixed sequence (Knuth's MMIX generator), so that a failure can be repeated.
    let mut state = 42u64;
    for round in 0..60 {
        let mut bytes = if round % 2 == 0 { b"HTTP/1.1 200 OK\r\n".to_vec() } else { Vec::new() };
        for _ in 0..round * 7 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            bytes.push((state >> 56) as u8);
        }
        let bytes: &'static [u8] = bytes.leak();
        let address = serve(move |_, mut stream| async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(bytes).await;
        })
        .await;
        let _ = get(patient(), &url(address)).await;
    }
}
