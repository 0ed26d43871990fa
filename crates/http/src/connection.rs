//! One HTTP/1.1 connection. It has no task of its own: whoever waits for an answer drives it, and between requests it
//! costs nothing.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::dial::dial;
use crate::io::{ByteCount, Stream};
use crate::tls::{self, Tls};
use crate::{HttpError, Phase, Url};

/// How much is read at once, at most, and so how long an answer's header may be. Reads start at 8 KiB and double as
/// long as they are filled.
pub(crate) const READ_BUFFER: usize = 64 << 10;

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

pub(crate) struct Connection {
    url: Url,
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once it has ended.
    driver: Option<Pin<Box<Driver>>>,
    /// What came in, TLS removed.
    plain: Arc<ByteCount>,
}

impl Connection {
    /// Connects within `limit`. `phase` is kept up to date for whoever interrupts it.
    pub(crate) async fn open(
        url: &Url,
        tls: &mut Tls,
        limit: Duration,
        wire: &Arc<ByteCount>,
        phase: &mut Phase,
    ) -> Result<Self, HttpError> {
        let (stream, plain) = dial(url, None, tls, limit, wire, phase).await?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| explain(url, &e))?;
        Ok(Self { url: url.clone(), sender, driver: Some(Box::pin(driver)), plain })
    }

    /// Whether requests to `url` can go through it.
    pub(crate) fn leads_to(&self, url: &Url) -> bool {
        self.url.same_origin(url)
    }

    /// How much has been answered so far, in bytes without TLS.
    pub(crate) fn received(&self) -> u64 {
        self.plain.received()
    }

    /// Ready once the connection has ended.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(driver) = &mut self.driver {
            // Its error, if any, also reaches the answer that is waited for; between answers it means closed.
            let _ = ready!(driver.as_mut().poll(cx));
            self.driver = None;
        }
        Poll::Ready(())
    }

    /// Waits until the next request can be sent; false when the other side has closed.
    pub(crate) async fn ready(&mut self) -> bool {
        poll_fn(|cx| match (self.drive(cx), self.sender.poll_ready(cx)) {
            (Poll::Ready(()), _) => Poll::Ready(false),
            (Poll::Pending, ready) => ready.map(|ready| ready.is_ok()),
        })
        .await
    }

    /// Takes note of what has already come in after an answer; false when the other side has closed.
    pub(crate) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.drive(cx).is_pending() && !self.sender.is_closed())).await
    }

    /// Sends a request and waits for the header of its answer.
    pub(crate) async fn send(
        &mut self,
        request: hyper::Request<Full<Bytes>>,
    ) -> hyper::Result<hyper::Response<Incoming>> {
        let mut answer = pin!(self.sender.send_request(request));
        poll_fn(|cx| {
            let _ = self.drive(cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for the next piece of a body; none at its end.
    pub(crate) async fn next_piece(&mut self, body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
        loop {
            let frame = poll_fn(|cx| {
                let _ = self.drive(cx);
                Pin::new(&mut *body).poll_frame(cx)
            });
            match frame.await? {
                Ok(frame) => {
                    // Trailers are of no use here.
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What to say about a failure of the HTTP layer.
pub(crate) fn explain(url: &Url, error: &hyper::Error) -> HttpError {
    // hyper offers a predicate for this only with its server; a test with a real header bomb keeps the words honest.
    if error.is_parse() && error.to_string().contains("too large") {
        let what = "the header (at most 100 fields)";
        return HttpError::TooLarge { url: url.to_string(), what, limit: READ_BUFFER };
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return tls::explain(url, tls);
        }
        cause = inner.source();
    }
    let detail = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let reason = if error.is_parse() {
        let hint = if url.is_https() { "" } else { "; if it speaks TLS there, ask https://" };
        format!("what came is no HTTP/1.1 answer ({detail}); expected `HTTP/1.1 200 OK` and headers{hint}")
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "the connection was closed before an answer came; expected one to each request".to_owned()
    } else {
        format!("the connection broke off ({detail}); expected a complete answer")
    };
    HttpError::Protocol { url: url.to_string(), reason }
}
