//! The client: one kept connection, one request at a time.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use crate::connection::{Connection, explain};
use crate::io::ByteCount;
use crate::tls::Tls;
use crate::{Auth, HttpError, Phase, TlsOptions, Url, redirect};

/// How the client introduces itself.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("larnax/", env!("CARGO_PKG_VERSION")));

/// Headers that only the client itself can set, because they say how the message is framed.
const OWN_HEADERS: [HeaderName; 5] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT];

/// How much of the body of an unsuccessful answer is read: enough for a message, however long an error page is.
const ERROR_BODY: usize = 16 << 10;

/// A body's length is believed up to here when room is made for it; beyond, room grows with what really comes.
const BELIEVED_LENGTH: u64 = 256 << 10;

/// A caller's buffer above this size is shrunk when it is more than four times what was last in it.
const KEPT_BUFFER: usize = 1 << 20;

/// How requests are made.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a request may take, from the first look-up to the last byte, redirects included.
    pub timeout: Duration,
    /// How long opening a connection may take of it: look-up, TCP, TLS.
    pub connect_timeout: Duration,
    /// The largest body that is read, in bytes as they come, before decompression.
    pub max_body: usize,
    /// How the client says who it is.
    pub auth: Auth,
    /// Sent with each request to the origin that was asked for, not after a redirect to another.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How TLS is done.
    pub tls: TlsOptions,
    /// How many redirects are followed; above that, and with 0, the redirect itself is the answer. To another origin
    /// neither auth nor [`ClientOptions::headers`] nor the client's certificate go along.
    pub max_redirects: usize,
}

impl Default for ClientOptions {
    /// 10 s (as Prometheus' scrape timeout), 16 MiB, no auth, no redirects.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            max_body: 16 << 20,
            auth: Auth::None,
            headers: Vec::new(),
            tls: TlsOptions::default(),
            max_redirects: 0,
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, usually.
    pub method: Method,
    /// Where.
    pub url: &'a Url,
    /// Sent with this request, in place of headers of the options with the same name.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// Empty for none.
    pub body: &'a [u8],
    /// How much longer than [`ClientOptions::timeout`] it may take: as long as the server is asked to hold its answer back.
    pub patience: Duration,
}

impl<'a> Request<'a> {
    /// A GET without headers of its own.
    pub fn get(url: &'a Url) -> Self {
        Self { method: Method::GET, url, headers: &[], body: &[], patience: Duration::ZERO }
    }

    /// A POST without headers of its own.
    pub fn post(url: &'a Url, body: &'a [u8]) -> Self {
        Self { method: Method::POST, url, headers: &[], body, patience: Duration::ZERO }
    }

    /// The same, where the answer may be held back for so long.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same with headers.
    pub fn with_headers(self, headers: &'a [(HeaderName, HeaderValue)]) -> Self {
        Self { headers, ..self }
    }
}

/// The header of an answer, whatever its status; its body is in the caller's buffer.
#[derive(Clone, Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A header's first value, where it is readable text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Content-Type`.
    pub fn content_type(&self) -> Option<&str> {
        self.header(header::CONTENT_TYPE)
    }

    /// `Content-Encoding`; the body is as it came, not decoded.
    pub fn content_encoding(&self) -> Option<&str> {
        self.header(header::CONTENT_ENCODING)
    }
}

/// What a client has cost since it was made. Bytes are those of TCP: headers and TLS included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Connections opened.
    pub connections: u64,
}

/// An HTTP/1.1 client with one kept connection. Needs a tokio runtime with time and I/O; spawns nothing.
pub struct Client {
    options: ClientOptions,
    tls: Tls,
    kept: Option<Connection>,
    wire: Arc<ByteCount>,
    connections: u64,
    phase: Phase,
}

impl Client {
    /// Checks the options. Files that they name are read when they are needed, so that one which appears later, or is
    /// rotated, heals by itself; [`Client::check_files`] looks at them now.
    pub fn new(mut options: ClientOptions) -> Result<Self, HttpError> {
        if options.timeout.is_zero() || options.connect_timeout.is_zero() {
            return Err(HttpError::Options(
                "the timeout is 0 s: expected a duration above 0, such as 10s".to_owned(),
            ));
        }
        if let Some((name, _)) = options.headers.iter().find(|(name, _)| OWN_HEADERS.contains(name)) {
            return Err(HttpError::Options(format!(
                "the header `{name}` can't be set: it is the client's own; remove it"
            )));
        }
        options.connect_timeout = options.connect_timeout.min(options.timeout);
        let tls = Tls::new(options.tls.clone())?;
        Ok(Self { options, tls, kept: None, wire: Arc::default(), connections: 0, phase: Phase::Resolving })
    }

    /// Reads the files that a request to `url` would need and says what is wrong with them.
    pub fn check_files(&mut self, url: &Url) -> Result<(), HttpError> {
        self.options.auth.header(url)?;
        if url.is_https() {
            self.tls.config()?;
        }
        Ok(())
    }

    /// What it has cost so far.
    pub fn traffic(&self) -> Traffic {
        Traffic { sent: self.wire.sent(), received: self.wire.received(), connections: self.connections }
    }

    /// Sends a request and reads the answer's body into `body`, which is cleared first and keeps its room (unless that
    /// was absurdly large). Ends within [`ClientOptions::timeout`] and [`Request::patience`]. Cancelling it is safe and closes the connection.
    ///
    /// The body of an answer that is no success (2xx) is cut after 16 KiB. On an error, `body` holds whatever had come.
    ///
    /// A request on a kept connection that turns out to be closed is sent once more on a new one, if nothing of an
    /// answer has come. In rare cases a server then gets it twice: what is posted must bear that, as alerts do.
    pub async fn send(&mut self, request: Request<'_>, body: &mut Vec<u8>) -> Result<Response, HttpError> {
        if body.capacity() > KEPT_BUFFER && body.capacity() / 4 > body.len() {
            body.shrink_to(KEPT_BUFFER.max(2 * body.len()));
        }
        body.clear();
        let limit = self.options.timeout + request.patience;
        match tokio::time::timeout(limit, self.follow(&request, body)).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout { url: request.url.to_string(), phase: self.phase, limit }),
        }
    }

    /// One exchange per redirect.
    async fn follow(&mut self, request: &Request<'_>, body: &mut Vec<u8>) -> Result<Response, HttpError> {
        let content = Bytes::copy_from_slice(request.body);
        let mut url = request.url.clone();
        let mut left = self.options.max_redirects;
        loop {
            let headers = self.headers(request, &url)?;
            let answer = self.exchange(request, &url, headers, &content, body).await?;
            match redirect::next(&url, &request.method, &answer).filter(|_| left > 0) {
                Some(to) => {
                    tracing::debug!(from = %url, %to, "following a redirect");
                    (url, left) = (to, left - 1);
                    body.clear();
                }
                None => return Ok(answer),
            }
        }
    }

    fn headers(&self, request: &Request<'_>, url: &Url) -> Result<HeaderMap, HttpError> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::HOST, url.host_header().clone());
        headers.insert(header::USER_AGENT, USER_AGENT);
        let own = url.same_origin(request.url);
        let configured = if own { self.options.headers.as_slice() } else { &[] };
        for (name, value) in configured.iter().chain(request.headers) {
            headers.insert(name.clone(), value.clone());
        }
        if own && let Some(value) = self.options.auth.header(request.url)? {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// One request and its answer, on the kept connection where it still lives. The connection is kept again only after
    /// a complete answer: one that failed, timed out or was cancelled is dropped on the way.
    async fn exchange(
        &mut self,
        request: &Request<'_>,
        url: &Url,
        headers: HeaderMap,
        content: &Bytes,
        body: &mut Vec<u8>,
    ) -> Result<Response, HttpError> {
        let build = || {
            let mut message = hyper::Request::new(Full::new(content.clone()));
            *message.method_mut() = request.method.clone();
            *message.uri_mut() = url.target().clone().into();
            *message.headers_mut() = headers.clone();
            message
        };
        let kept = self.kept.take().filter(|kept| kept.leads_to(url));
        let own = url.same_origin(request.url);
        self.phase = Phase::Waiting;
        let mut answered = None;
        if let Some(mut connection) = kept
            && connection.ready().await
        {
            let before = connection.received();
            match connection.send(build()).await {
                Ok(answer) => answered = Some((connection, answer)),
                Err(error) if connection.received() > before => return Err(explain(url, &error)),
                Err(_) => tracing::debug!(%url, "the kept connection was closed; trying a new one"),
            }
        }
        let (mut connection, answer) = match answered {
            Some(answered) => answered,
            None => {
                let mut connection = self.open(url, own).await?;
                self.phase = Phase::Waiting;
                let answer = connection.send(build()).await.map_err(|error| explain(url, &error))?;
                (connection, answer)
            }
        };
        self.phase = Phase::Reading;
        let (parts, incoming) = answer.into_parts();
        let response = Response { status: parts.status, headers: parts.headers };
        let complete = if response.status.is_success() {
            read(&mut connection, url, incoming, self.options.max_body, body).await?;
            true
        } else {
            let limit = ERROR_BODY.min(self.options.max_body);
            match read(&mut connection, url, incoming, limit, body).await {
                Ok(()) => true,
                Err(HttpError::TooLarge { .. }) => false,
                Err(error) => return Err(error),
            }
        };
        // A connection of a redirect to elsewhere was opened without this client's credentials: not to be mixed.
        if complete && own && connection.is_open().await {
            self.kept = Some(connection);
        }
        Ok(response)
    }

    async fn open(&mut self, url: &Url, own: bool) -> Result<Connection, HttpError> {
        let mut stranger;
        let tls = if own {
            &mut self.tls
        } else {
            stranger = self.tls.for_another_origin();
            &mut stranger
        };
        let limit = self.options.connect_timeout;
        let connection = Connection::open(url, tls, limit, &self.wire, &mut self.phase).await?;
        self.connections += 1;
        Ok(connection)
    }
}

/// Reads a body up to a limit; on [`HttpError::TooLarge`], `body` holds what the limit allows.
async fn read(
    connection: &mut Connection,
    url: &Url,
    mut incoming: Incoming,
    limit: usize,
    body: &mut Vec<u8>,
) -> Result<(), HttpError> {
    let too_large = || HttpError::TooLarge { url: url.to_string(), what: "the body", limit };
    let announced = incoming.size_hint().exact();
    body.reserve(announced.unwrap_or(0).min(BELIEVED_LENGTH).min(limit as u64) as usize);
    while let Some(piece) = connection.next_piece(&mut incoming).await {
        let piece = piece.map_err(|error| match explain(url, &error) {
            HttpError::Protocol { url, .. } => HttpError::Protocol {
                url,
                reason: match announced {
                    Some(length) => {
                        format!("the body broke off after {} bytes of the {length} announced", body.len())
                    }
                    None => {
                        format!("the body broke off after {} bytes, before its end was marked", body.len())
                    }
                },
            },
            other => other,
        })?;
        let room = limit - body.len();
        body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if piece.len() > room {
            return Err(too_large());
        }
    }
    Ok(())
}
