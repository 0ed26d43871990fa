//! A session from end to end, over a stream in memory and over TCP.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::SinkExt;
use larnax_core::{MetricName, Timestamp, Window};
use larnax_http::{Auth, TlsOptions, Url};
use larnax_session::wire::{Heard, config, server_side};
use larnax_session::{
    Acknowledged, EvidencePart, FromEdge, FromHub, Heartbeat, OpenOptions, Opener, Receiver, Sender,
    SessionError, Welcome, split,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

/// The hub's side and the edge's, over memory.
async fn pair() -> ((Sender<DuplexStream>, Receiver<DuplexStream>), WebSocketStream<DuplexStream>) {
    let (ours, theirs) = duplex(64 << 10);
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    let client = WebSocketStream::from_raw_socket(theirs, role, Some(config())).await;
    (server_side(ours).await, client)
}

fn part(rows: usize) -> EvidencePart {
    let window = Window {
        times: (0..rows).map(|i| Timestamp::from_seconds(i as f64)).collect(),
        metrics: vec![MetricName::new("cpu/busy").unwrap()],
        rows: (0..rows).map(|i| vec![(i % 3 > 0).then_some(i as f64 / 8.0)]).collect(),
    };
    EvidencePart { id: 7, window, rows, ..EvidencePart::default() }
}

#[tokio::test]
async fn what_is_said_arrives_short_or_long() {
    let ((mut hub, mut hears), edge) = pair().await;
    let (mut says, mut edge_hears) = split(edge);
    for rows in [0, 1, 5_000] {
        let said = FromEdge::Evidence(part(rows));
        let (sent, heard) = tokio::join!(says.send(&said), hears.next::<FromEdge>());
        sent.unwrap();
        let Heard::Message(FromEdge::Evidence(heard)) = heard.unwrap() else { panic!("another message") };
        assert!(heard == part(rows), "{rows} rows");
    }
    assert!(hears.last_bytes() < 40_000, "{} bytes", hears.last_bytes());
    hub.send(&FromHub::Acknowledged(Acknowledged { number: 1, refused: vec![] })).await.unwrap();
    assert!(matches!(edge_hears.next::<FromHub>().await, Ok(Heard::Message(FromHub::Acknowledged(_)))));
}

#[tokio::test]
async fn garbage_ends_a_session_with_a_sentence_and_never_more_is_held_than_a_message_may_have() {
    for (sent, expected) in [
        (Message::text("{\"evidence\":17}"), "no message"),
        (Message::text("["), "no message"),
        (Message::binary(vec![1, 2, 3]), "can't be decompressed"),
        (Message::binary(bomb()), "expected at most 33554432"),
    ] {
        let ((_hub, mut hears), mut edge) = pair().await;
        let (_, heard) = tokio::join!(edge.send(sent), hears.next::<FromEdge>());
        let message = heard.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// 64 MiB of spaces, compressed.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_side_says_that_it_is_there_and_what_time_it_has_in_one_small_frame() {
    let ((mut hub, _), edge) = pair().await;
    let (_says, mut hears) = split(edge);
    let time = Timestamp::from_seconds(1_800_000_000.5);
    let (pinged, heard) = tokio::join!(hub.ping(time), hears.next::<FromHub>());
    pinged.unwrap();
    assert!(matches!(heard, Ok(Heard::Time(found)) if found == time));
    assert_eq!(hub.take_sent(), 8);
}

#[tokio::test]
async fn a_reason_is_told_at_the_end_and_a_ping_is_a_sign_of_life() {
    let ((mut hub, mut hears), mut edge) = pair().await;
    edge.send(Message::Ping(Bytes::new())).await.unwrap();
    assert!(matches!(hears.next::<FromEdge>().await, Ok(Heard::Sign)));
    hub.end(&"ä".repeat(100)).await;
    let (_says, mut edge_hears) = split(edge);
    loop {
        match edge_hears.next::<FromHub>().await {
            Ok(_) => {}
            Err(SessionError::Ended(reason)) => break assert_eq!(reason, "ä".repeat(60)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn opener(url: &str, token: &str) -> Opener {
    Opener::new(OpenOptions {
        url: Url::parse(url).unwrap(),
        auth: Auth::bearer(larnax_http::SecretSource::Inline(larnax_http::Secret::new(token))),
        tls: TlsOptions::default(),
        proxy: None,
        timeout: Duration::from_secs(5),
    })
    .unwrap()
}

#[tokio::test]
async fn an_edge_opens_a_session_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hub = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut sender, mut receiver) =
            split(accept_async_with_config(stream, Some(config())).await.unwrap());
        let heard = receiver.next::<FromEdge>().await.unwrap();
        let welcome = Welcome { protocol: 1, version: "1".to_owned(), heartbeat_seconds: 15.0 };
        sender.send(&FromHub::Welcome(welcome)).await.unwrap();
        assert!(matches!(heard, Heard::Message(FromEdge::Heartbeat(_))));
    });
    let (mut sender, mut receiver) = opener(&url, "secret").open().await.unwrap();
    let heartbeat = Heartbeat {
        time: Timestamp::from_seconds(1.0),
        components: None,
        offers: None,
        learning: Vec::new(),
    };
    sender.send(&FromEdge::Heartbeat(heartbeat)).await.unwrap();
    assert!(matches!(receiver.next::<FromHub>().await, Ok(Heard::Message(FromHub::Welcome(_)))));
    hub.await.unwrap();
}

#[tokio::test]
async fn who_is_no_hub_is_told_from_a_hub_that_knows_no_such_token() {
    for (status, expected) in
        [("401 Unauthorized", "doesn't know this token"), ("404 Not Found", "check the URL")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        let error = opener(&url, "secret").open().await.err().unwrap().to_string();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        let asked = server.await.unwrap();
        assert!(asked.starts_with("GET /api/v1/session HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("authorization: bearer secret\r\n"), "{asked}");
    }
}
