//! What a client and a well-behaved server say to each other.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{answer, get, patient, read_request, serve, url};
use larnax_http::{Auth, Client, ClientOptions, HeaderName, HeaderValue, Request, SecretSource, Url, header};
use tokio::io::AsyncWriteExt;

/// A server that answers every request on every connection and notes what it was asked.
async fn recording(reply: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let notes = Arc::clone(&seen);
    let address = serve(move |_, mut stream| {
        let notes = Arc::clone(&notes);
        async move {
            loop {
                let request = read_request(&mut stream).await;
                if request.is_empty() {
                    return;
                }
                notes.lock().unwrap().push(request);
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (address, seen)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn one_connection_serves_all_requests_and_its_bytes_are_counted() {
    let (address, seen) = recording(OK).await;
    let url = url(address);
    let mut client = Client::new(ClientOptions::default()).unwrap();
    let mut body = Vec::new();
    for _ in 0..5 {
        let response = client.send(Request::get(&url), &mut body).await.unwrap();
        assert_eq!((response.status().as_u16(), response.content_type()), (200, Some("text/plain")));
        assert_eq!(body, b"ok");
    }
    let asked: usize = seen.lock().unwrap().iter().map(String::len).sum();
    let traffic = client.traffic();
    assert_eq!((traffic.connections, traffic.received), (1, 5 * OK.len() as u64));
    assert_eq!(traffic.sent, asked as u64);
}

#[tokio::test]
async fn a_get_says_who_asks_for_what_and_has_no_body() {
    let (address, seen) = recording(OK).await;
    let name = HeaderName::from_static("x-scope");
    let options = ClientOptions {
        headers: vec![
            (name.clone(), HeaderValue::from_static("configured")),
            (header::ACCEPT, HeaderValue::from_static("a/b")),
        ],
        ..Default::default()
    };
    let own = [(header::ACCEPT, HeaderValue::from_static("text/plain"))];
    let url = url(address);
    let mut client = Client::new(options).unwrap();
    client.send(Request::get(&url).with_headers(&own), &mut Vec::new()).await.unwrap();
    let request = seen.lock().unwrap()[0].clone();
    assert!(request.starts_with("GET /metrics?token=hush HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
    assert!(request.contains("user-agent: larnax/") && request.contains("x-scope: configured"), "{request}");
    assert!(request.contains("accept: text/plain\r\n") && !request.contains("a/b"), "{request}");
    assert!(request.contains("authorization: Basic dXNlcjpodXNo\r\n"), "{request}");
    assert!(!request.contains("content-length") && !request.contains("transfer-encoding"), "{request}");
}

#[tokio::test]
async fn a_post_carries_its_body_and_length() {
    let (address, seen) = recording(OK).await;
    let url = url(address);
    let mut client = Client::new(ClientOptions::default()).unwrap();
    client.send(Request::post(&url, b"[1,2]"), &mut Vec::new()).await.unwrap();
    let request = seen.lock().unwrap()[0].clone();
    assert!(request.starts_with("POST ") && request.contains("content-length: 5\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n[1,2]"), "{request}");
}

#[tokio::test]
async fn a_token_file_is_read_again_for_each_request() {
    let (address, seen) = recording(OK).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let auth = Auth::bearer(SecretSource::File(path.clone()));
    let mut client = Client::new(ClientOptions { auth, ..Default::default() }).unwrap();
    let url = url(address);
    let error = client.send(Request::get(&url), &mut Vec::new()).await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("token"), "{error}");
    for token in ["first", "second"] {
        std::fs::write(&path, token).unwrap();
        client.send(Request::get(&url), &mut Vec::new()).await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert!(seen[0].contains("authorization: Bearer first\r\n"), "{}", seen[0]);
    assert!(seen[1].contains("authorization: Bearer second\r\n"), "{}", seen[1]);
    assert_eq!(client.traffic().connections, 1);
}

#[tokio::test]
async fn a_body_in_chunks_is_put_together_and_the_connection_kept() {
    let (address, _) = recording(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\ntrailer: 1\r\n\r\n",
    )
    .await;
    let url = url(address);
    let mut client = Client::new(patient()).unwrap();
    let mut body = b"old".to_vec();
    for _ in 0..2 {
        client.send(Request::get(&url), &mut body).await.unwrap();
        assert_eq!(body, b"abcdefg");
    }
    assert_eq!(client.traffic().connections, 1);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let address = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall of it").await.unwrap();
    })
    .await;
    assert_eq!(get(patient(), &url(address)).await.unwrap().1, b"all of it");
}

#[tokio::test]
async fn a_connection_closed_between_requests_is_replaced_without_an_error() {
    let address = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(&answer("ok")).await.unwrap();
    })
    .await;
    let url = url(address);
    let mut client = Client::new(patient()).unwrap();
    for round in 1..=3 {
        client.send(Request::get(&url), &mut Vec::new()).await.unwrap();
        assert_eq!(client.traffic().connections, round);
    }
}

#[tokio::test]
async fn a_connection_closed_at_the_moment_of_the_second_request_is_tried_once_more() {
    let address = serve(|n, mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(&answer("ok")).await.unwrap();
        if n == 0 {
            // Takes the second request and closes without a word.
            read_request(&mut stream).await;
        }
    })
    .await;
    let url = url(address);
    let mut client = Client::new(patient()).unwrap();
    for _ in 0..2 {
        client.send(Request::get(&url), &mut Vec::new()).await.unwrap();
    }
    assert_eq!(client.traffic().connections, 2);
}

#[tokio::test]
async fn a_fresh_connection_that_is_closed_is_not_tried_again() {
    let address = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    let url = url(address);
    let mut client = Client::new(patient()).unwrap();
    let error = client.send(Request::get(&url), &mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("closed before an answer came"), "{error}");
    assert_eq!(client.traffic().connections, 1);
}

#[tokio::test]
async fn a_cancelled_request_does_not_spoil_the_next() {
    let address = serve(|n, mut stream| async move {
        read_request(&mut stream).await;
        if n == 0 {
            tokio::spawn(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nlate").await;
                read_request(&mut stream).await;
            });
        } else {
            stream.write_all(&answer("fresh")).await.unwrap();
        }
    })
    .await;
    let url = url(address);
    let mut client = Client::new(ClientOptions::default()).unwrap();
    let mut body = Vec::new();
    let brief = Duration::from_millis(50);
    assert!(tokio::time::timeout(brief, client.send(Request::get(&url), &mut body)).await.is_err());
    client.send(Request::get(&url), &mut body).await.unwrap();
    assert_eq!((body.as_slice(), client.traffic().connections), (b"fresh".as_slice(), 2));
}

#[tokio::test]
async fn a_buffer_that_was_needed_once_is_given_back() {
    let (address, _) = recording(OK).await;
    let url = url(address);
    let mut client = Client::new(patient()).unwrap();
    let mut body = Vec::with_capacity(32 << 20);
    client.send(Request::get(&url), &mut body).await.unwrap();
    assert!(body.capacity() <= 1 << 20, "{}", body.capacity());
}

#[tokio::test]
async fn a_bad_status_is_an_answer_and_its_long_body_is_cut() {
    let address = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 9000000\r\n\r\n").await;
        let _ = stream.write_all(&vec![b'x'; 9_000_000]).await;
    })
    .await;
    let (response, body) = get(patient(), &url(address)).await.unwrap();
    assert_eq!((response.status().as_u16(), body.len()), (503, 16 << 10));
}

async fn redirecting(status: &'static str, location: String) -> SocketAddr {
    let reply = format!("HTTP/1.1 {status} Go\r\nlocation: {location}\r\ncontent-length: 4\r\n\r\ngone");
    recording(reply.leak()).await.0
}

#[tokio::test]
async fn a_redirect_is_an_answer_unless_following_is_asked_for() {
    let (there, _) = recording(OK).await;
    let address = redirecting("302", format!("http://{there}/new")).await;
    let (response, body) = get(patient(), &url(address)).await.unwrap();
    assert_eq!((response.status().as_u16(), body.as_slice()), (302, b"gone".as_slice()));
    let options = ClientOptions { max_redirects: 1, ..patient() };
    let (response, body) = get(options, &url(address)).await.unwrap();
    assert_eq!((response.status().as_u16(), body.as_slice()), (200, b"ok".as_slice()));
}

#[tokio::test]
async fn a_redirect_to_another_origin_goes_without_credentials() {
    let (there, seen) = recording(OK).await;
    let address = redirecting("307", format!("http://other:pass@{there}/new")).await;
    let options = ClientOptions {
        max_redirects: 3,
        auth: Auth::basic("user", "hush"),
        headers: vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static("hush"))],
        ..patient()
    };
    get(options, &url(address)).await.unwrap();
    let request = seen.lock().unwrap()[0].to_lowercase();
    assert!(request.starts_with("get /new ") && request.contains(&format!("host: {there}")), "{request}");
    assert!(!request.contains("authorization") && !request.contains("hush"), "{request}");
}

#[tokio::test]
async fn redirects_end_at_their_limit_and_a_post_is_not_turned_into_a_get() {
    let address = redirecting("302", "/again".to_owned()).await;
    let options = ClientOptions { max_redirects: 4, ..patient() };
    let url = url(address);
    assert_eq!(get(options.clone(), &url).await.unwrap().0.status(), 302);
    let mut client = Client::new(options).unwrap();
    let response = client.send(Request::post(&url, b"alert"), &mut Vec::new()).await.unwrap();
    assert_eq!(response.status(), 302);
}

#[tokio::test]
async fn a_host_name_is_looked_up() {
    let (address, _) = recording(OK).await;
    let url = Url::parse(&format!("http://localhost:{}/", address.port())).unwrap();
    assert_eq!(get(patient(), &url).await.unwrap().1, b"ok");
}

#[test]
fn options_that_cant_be_are_refused_at_once() {
    let own = vec![(header::CONTENT_LENGTH, HeaderValue::from_static("7"))];
    let error = Client::new(ClientOptions { headers: own, ..Default::default() }).err().unwrap();
    assert!(error.is_config() && error.to_string().contains("content-length"), "{error}");
    let none = ClientOptions { timeout: Duration::ZERO, ..Default::default() };
    assert!(Client::new(none).err().unwrap().to_string().contains("above 0"));
}

#[test]
fn a_client_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Client::new(ClientOptions::default()).unwrap());
}
