//! The HTTP server that the roles share.
//!
//! | file | what is in it |
//! |---|---|
//! | [`guard`] | who may ask |
//! | [`answer`] | what answers are made of |
//! | [`tls`] | the certificate that is shown |
//! | [`metrics`] | what a program says of itself to Prometheus |
//! | [`process`] | what a process costs |
//! | `openapi` (feature) | documents that describe an API |
//!
//! Everything runs on one thread: call [`serve`] on a runtime that takes local tasks.

pub mod answer;
pub mod guard;
pub mod metrics;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod process;
pub mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::rt::{Read, Write};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::time::timeout;

pub use answer::{Answer, ErrorReport, Query};
pub use guard::{Caller, Door};
pub use hyper;
pub use tls::Certificate;

/// The longest time in which the head of a request must have come, and then its body; and a TLS handshake.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A future of the single-threaded runtime.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A connection that has become something else than HTTP.
pub type Stream = TokioIo<Upgraded>;

/// A file of a page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// Finds the file of a path such as `/` or `/assets/app.js`; none where there is no such file.
pub type Pages = fn(path: &str) -> Option<Page>;

/// What people open to reach a server. Nobody can follow a link to `0.0.0.0`.
pub fn url_of(scheme: &str, listen: SocketAddr, hostname: &str) -> String {
    match listen.ip().is_unspecified() {
        true => format!("{scheme}://{hostname}:{}/", listen.port()),
        false => format!("{scheme}://{listen}/"),
    }
}

/// What answers.
pub trait Handler: 'static {
    /// Answers a request that was let in.
    fn answer<'a>(&'a self, head: &'a Parts, body: Bytes) -> LocalFuture<'a, Answer>;

    /// Whether there is a file of the page at this path. Those are the same everywhere and need no token.
    fn has_page(&self, path: &str) -> bool;

    /// The longest body of a request to this path, in bytes.
    fn max_body(&self, _path: &str) -> usize {
        64 << 10
    }

    /// The answer `101 Switching Protocols` to a request that may go on as something else; none where it may not.
    fn upgrade(&self, _head: &Parts) -> Option<Answer> {
        None
    }

    /// Goes on with a connection after [`Handler::upgrade`]. `caller` is who opened it without this server's token.
    fn go_on(self: Rc<Self>, _stream: Stream, _caller: Option<Caller>) -> LocalFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// Takes requests until the task is dropped.
pub async fn serve<H: Handler>(listener: TcpListener, door: Door, handler: Rc<H>) {
    // Each connection holds a clone, however it ends.
    let open = Rc::new(());
    let door = Rc::new(door);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: waiting lets some close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        if Rc::strong_count(&open) > door.max_connections {
            continue;
        }
        let (handler, door, slot) = (Rc::clone(&handler), Rc::clone(&door), Rc::clone(&open));
        tokio::task::spawn_local(async move {
            let _slot = slot;
            // Answers go out whole in one write: waiting for more would only delay them.
            let _ = stream.set_nodelay(true);
            let acceptor = door.certificate.as_ref().map(|certificate| certificate.acceptor());
            match acceptor {
                None => connection(TokioIo::new(stream), door, handler).await,
                Some(Err(error)) => tracing::warn!("no certificate to show: {error}"),
                Some(Ok(acceptor)) => match timeout(READ_TIMEOUT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => connection(TokioIo::new(stream), door, handler).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        });
    }
}

async fn connection<I, H>(io: I, door: Rc<Door>, handler: Rc<H>)
where
    I: Read + Write + Unpin + Send + 'static,
    H: Handler,
{
    let answer = |request| {
        let (door, handler) = (Rc::clone(&door), Rc::clone(&handler));
        async move { Ok::<_, std::convert::Infallible>(handle(request, &door, handler).await) }
    };
    let result = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(16 << 10)
        .serve_connection(io, hyper::service::service_fn(answer))
        .with_upgrades()
        .await;
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn handle<H: Handler>(mut request: Request<Incoming>, door: &Door, handler: Rc<H>) -> Answer {
    let caller = door.caller(&request).await;
    if let Some(refusal) = door.refuse(&request, caller.is_some(), |path| handler.has_page(path)) {
        return guard::sealed(refusal);
    }
    if request.headers().contains_key(hyper::header::UPGRADE) {
        let going_on = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let Some(answer) = handler.upgrade(&head) else {
            let message = format!("{} is no place to upgrade a connection at", head.uri.path());
            return guard::sealed(answer::error(StatusCode::BAD_REQUEST, message));
        };
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            tokio::task::spawn_local(async move {
                match going_on.await {
                    Ok(stream) => handler.go_on(TokioIo::new(stream), caller).await,
                    Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
                }
            });
        }
        return answer;
    }
    let (head, body) = request.into_parts();
    let limit = handler.max_body(head.uri.path());
    guard::sealed(match read_body(body, limit).await {
        Ok(body) => handler.answer(&head, body).await,
        Err(refusal) => refusal,
    })
}

async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, Answer> {
    let Ok(read) = timeout(READ_TIMEOUT, Limited::new(body, limit).collect()).await else {
        let message = format!("the body did not come within {} s", READ_TIMEOUT.as_secs());
        return Err(answer::error(StatusCode::REQUEST_TIMEOUT, message));
    };
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(answer::error(StatusCode::PAYLOAD_TOO_LARGE, format!("expected at most {limit} bytes")))
        }
        Err(error) => {
            Err(answer::error(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_a_person_can_go() {
        let loopback = "127.0.0.1:7676".parse().unwrap();
        assert_eq!(url_of("http", loopback, "edge-1"), "http://127.0.0.1:7676/");
        assert_eq!(url_of("https", "0.0.0.0:80".parse().unwrap(), "edge-1"), "https://edge-1:80/");
        assert_eq!(url_of("http", "[::]:80".parse().unwrap(), "edge-1"), "http://edge-1:80/");
    }
}
