//! The plumbing of the shop's own servers. They listen on loopback only.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The most connections at once; one more is closed at once.
const MAX_CONNECTIONS: usize = 256;
/// The longest time in which the head of a request must have come.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body that is read, in bytes: the shop's own are some dozens.
const MAX_BODY_BYTES: usize = 4 << 10;

pub(crate) type Answer = Response<Full<Bytes>>;

/// Takes requests until it is dropped, and then closes its connections. Must run where local tasks are taken.
pub(crate) async fn serve<A>(
    listener: &TcpListener,
    answer: impl Fn(Request<Incoming>) -> A + Clone + 'static,
) where
    A: Future<Output = Answer> + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors, most likely: waiting lets some close.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        if connections.len() >= MAX_CONNECTIONS {
            continue;
        }
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        connections.spawn_local(async move {
            let answer = move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            };
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(READ_TIMEOUT)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer))
                .await;
        });
    }
}

/// A body up to the limit; none when it is longer or breaks off.
pub(crate) async fn body(incoming: Incoming) -> Option<Bytes> {
    Limited::new(incoming, MAX_BODY_BYTES).collect().await.ok().map(|body| body.to_bytes())
}

/// A text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A value as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut answer = match serde_json::to_vec(value) {
        Ok(json) => text(status, json),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
