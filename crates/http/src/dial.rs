//! Opening a stream: look-up, TCP, perhaps a proxy, perhaps TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::io::{ByteCount, Counted, Stream};
use crate::tls::{self, Tls};
use crate::{Auth, HttpError, Phase, TlsOptions, Url};

/// The longest header of a proxy's answer.
const PROXY_HEADER: usize = 8 << 10;

/// Opens streams for protocols that begin as HTTP and go on as something else, as WebSocket does.
pub struct Dialer {
    auth: Auth,
    tls: Tls,
    proxy: Option<Url>,
    limit: Duration,
}

impl Dialer {
    /// `proxy` is asked to `CONNECT`; a user and password in its URL are told to it. `limit` is for all of the opening.
    pub fn new(auth: Auth, tls: TlsOptions, proxy: Option<Url>, limit: Duration) -> Result<Self, HttpError> {
        if let Some(proxy) = proxy.as_ref().filter(|proxy| proxy.is_https()) {
            return Err(HttpError::Options(format!(
                "the proxy {proxy} is asked over TLS: expected http://HOST:PORT; what goes through it is encrypted \
                 where the URL behind it is https"
            )));
        }
        Ok(Self { auth, tls: Tls::new(tls)?, proxy, limit })
    }

    /// A stream to the host of `url`.
    pub async fn dial(&mut self, url: &Url) -> Result<Stream, HttpError> {
        let wire = Arc::<ByteCount>::default();
        let mut phase = Phase::Resolving;
        let (stream, _) =
            dial(url, self.proxy.as_ref(), &mut self.tls, self.limit, &wire, &mut phase).await?;
        Ok(stream)
    }

    /// What a request there says about who asks; marked as sensitive.
    pub fn authorization(&self, url: &Url) -> Result<Option<HeaderValue>, HttpError> {
        self.auth.header(url)
    }
}

/// Connects within `limit`. `phase` is kept up to date for whoever interrupts it. Gives the stream and the count of what
/// goes through it with TLS removed.
pub(crate) async fn dial(
    url: &Url,
    proxy: Option<&Url>,
    tls: &mut Tls,
    limit: Duration,
    wire: &Arc<ByteCount>,
    phase: &mut Phase,
) -> Result<(Stream, Arc<ByteCount>), HttpError> {
    let deadline = Instant::now() + limit;
    let late = |phase| HttpError::Timeout { url: url.to_string(), phase, limit };
    let first = proxy.unwrap_or(url);
    *phase = Phase::Resolving;
    let addresses =
        timeout_at(deadline, resolve(first)).await.map_err(|_| late(Phase::Resolving)).flatten()?;
    *phase = Phase::Connecting;
    let mut tcp = connect(first, &addresses, deadline).await?.ok_or_else(|| late(Phase::Connecting))?;
    // Requests go out whole in one write: waiting for more would only delay them.
    let _ = tcp.set_nodelay(true);
    if let Some(proxy) = proxy {
        timeout_at(deadline, tunnel(proxy, url, &mut tcp)).await.map_err(|_| late(Phase::Connecting))??;
    }
    let tcp = Counted::new(tcp, Arc::clone(wire));
    if !url.is_https() {
        return Ok((Stream::plain(tcp), Arc::clone(wire)));
    }
    *phase = Phase::Handshaking;
    let connector = TlsConnector::from(tls.config()?);
    let handshake = connector.connect(tls.server_name(url)?, tcp);
    let stream = timeout_at(deadline, handshake)
        .await
        .map_err(|_| late(Phase::Handshaking))?
        .map_err(|e| handshake_error(url, &e))?;
    let plain = Arc::<ByteCount>::default();
    Ok((Stream::tls(Counted::new(Box::new(stream), Arc::clone(&plain))), plain))
}

/// Asks a proxy for a connection to the host of `url`.
async fn tunnel(proxy: &Url, url: &Url, tcp: &mut TcpStream) -> Result<(), HttpError> {
    let failed = |reason: String| HttpError::Protocol {
        url: url.to_string(),
        reason: format!("the proxy {proxy} {reason}"),
    };
    let broken = |error: io::Error| failed(format!("broke the connection off ({error})"));
    let host = if url.host().contains(':') { format!("[{}]", url.host()) } else { url.host().to_owned() };
    let target = format!("{host}:{}", url.port());
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(credentials) = Auth::None.header(proxy)? {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(credentials.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    tcp.write_all(&request).await.map_err(broken)?;
    // Byte by byte: what comes after the header belongs to whoever is behind the proxy.
    let mut header = Vec::with_capacity(256);
    while !header.ends_with(b"\r\n\r\n") {
        if header.len() >= PROXY_HEADER {
            return Err(failed(format!("sent a header of more than {PROXY_HEADER} bytes")));
        }
        header.push(tcp.read_u8().await.map_err(broken)?);
    }
    let line = header.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match version.starts_with("HTTP/1.") && status.len() == 3 && status.starts_with('2') {
        true => Ok(()),
        false => {
            let shown: String = line.chars().take(80).collect();
            Err(failed(format!("answered `{shown}` to CONNECT {target}: expected a status of 200")))
        }
    }
}

/// The host's addresses. A literal one needs no look-up; a name goes to a thread, because the system's resolver blocks.
async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, HttpError> {
    if let Ok(ip) = url.host().parse() {
        return Ok(vec![SocketAddr::new(ip, url.port())]);
    }
    let error = |reason: String| HttpError::Dns { url: url.to_string(), host: url.host().to_owned(), reason };
    let found = tokio::net::lookup_host((url.host(), url.port())).await;
    let addresses: Vec<SocketAddr> = found.map_err(|e| error(e.to_string()))?.collect();
    if addresses.is_empty() {
        return Err(error("the resolver gave none".to_owned()));
    }
    Ok(addresses)
}

/// Tries one address after the other, each with its share of the time, so that a dead one doesn't hide a living one.
/// None when time ran out.
async fn connect(
    url: &Url,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<Option<TcpStream>, HttpError> {
    let mut last = None;
    for (i, &address) in addresses.iter().enumerate() {
        let share = deadline.saturating_duration_since(Instant::now()) / (addresses.len() - i) as u32;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(Some(stream)),
            Ok(Err(error)) => last = Some((address, error)),
            Err(_) => {}
        }
    }
    match last {
        None => Ok(None),
        Some((address, error)) => {
            let reason = match error.kind() {
                io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
                _ => error.to_string(),
            };
            Err(HttpError::Connect { url: url.to_string(), address: address.to_string(), reason })
        }
    }
}

fn handshake_error(url: &Url, error: &io::Error) -> HttpError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => tls::explain(url, error),
        None => HttpError::Tls {
            url: url.to_string(),
            reason: format!("the connection broke off during the handshake ({error})"),
            hint: "expected a server that speaks TLS there; if it speaks plain HTTP, ask http://",
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A proxy that answers `answer` to whatever header comes, and then echoes one byte. Gives back what it was asked.
    async fn dialled(answer: &'static str) -> (Result<Stream, HttpError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://user:secret@{}", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut header = Vec::new();
            while !header.ends_with(b"\r\n\r\n") {
                header.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(header).unwrap()
        });
        let proxy = Some(Url::parse(&proxy).unwrap());
        let limit = Duration::from_secs(5);
        let mut dialer = Dialer::new(Auth::None, TlsOptions::default(), proxy, limit).unwrap();
        let stream = dialer.dial(&Url::parse("http://hub.example:7677/api").unwrap()).await;
        (stream, asked.await.unwrap())
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_the_host_and_what_follows_its_header_is_the_hosts() {
        let (stream, asked) = dialled("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n!").await;
        assert!(
            asked.starts_with("CONNECT hub.example:7677 HTTP/1.1\r\nHost: hub.example:7677\r\n"),
            "{asked}"
        );
        assert!(asked.contains("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{asked}");
        assert_eq!(stream.unwrap().read_u8().await.unwrap(), b'!');
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named_without_its_password() {
        let (stream, _) = dialled("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        let message = stream.err().unwrap().to_string();
        assert!(message.contains("407 Proxy") && !message.contains("secret"), "{message}");
    }
}
