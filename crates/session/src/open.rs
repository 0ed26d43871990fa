//! How an edge opens a session.

use std::time::Duration;

use larnax_http::{Auth, Dialer, HeaderValue, Stream, TlsOptions, Url, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::wire::{Heard, Receiver, Sender, SessionError, config, split};
use crate::{FromEdge, FromHub, Hello, PROTOCOL};

/// After so many heartbeats without a sign of life a session is given up: a proxy may have cut it without a word. What is lost on
/// the way is sent again by TCP, so a second one missing means more than that.
pub const SILENT_HEARTBEATS: u32 = 2;

/// How long the hub may take to greet.
const GREETING: Duration = Duration::from_secs(10);
/// Heartbeats that a hub may want, at most and at least this far apart, in seconds.
const HEARTBEAT: (f64, f64) = (1.0, 300.0);

/// Where and how.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The hub, as `https://hub.example:7677`.
    pub url: Url,
    /// Who the edge says it is.
    pub auth: Auth,
    /// How TLS is done.
    pub tls: TlsOptions,
    /// A proxy that is asked for the connection.
    pub proxy: Option<Url>,
    /// How long opening may take.
    pub timeout: Duration,
}

/// Opens sessions with one hub.
pub struct Opener {
    url: Url,
    dialer: Dialer,
    timeout: Duration,
}

impl Opener {
    /// Checks the options; connects to nobody yet.
    pub fn new(options: OpenOptions) -> Result<Self, SessionError> {
        let OpenOptions { url, auth, tls, proxy, timeout } = options;
        let url = url.join(crate::PATH)?;
        Ok(Self { dialer: Dialer::new(auth, tls, proxy, timeout)?, url, timeout })
    }

    /// Where sessions are opened.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Opens a session.
    pub async fn open(&mut self) -> Result<(Sender<Stream>, Receiver<Stream>), SessionError> {
        let stream = self.dialer.dial(&self.url).await?;
        let authorization = self.dialer.authorization(&self.url)?;
        let opening = over(stream, &self.url, authorization);
        timeout(self.timeout, opening).await.map_err(|_| {
            SessionError::Refused(format!(
                "{} took the connection and did not answer within {} s; expected a larnax hub there",
                self.url,
                self.timeout.as_secs_f64()
            ))
        })?
    }
}

/// Opens a session over a stream that leads to the hub of `url`.
pub async fn over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &Url,
    authorization: Option<HeaderValue>,
) -> Result<(Sender<S>, Receiver<S>), SessionError> {
    let host = url.host_header().to_str().unwrap_or_default();
    let mut request = format!("ws://{host}{}", crate::PATH).into_client_request()?;
    if let Some(authorization) = authorization {
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
    }
    match client_async_with_config(request, stream, Some(config())).await {
        Ok((socket, _)) => Ok(split(socket)),
        Err(Error::Http(answer)) => {
            let hint = match answer.status().as_u16() {
                401 | 403 => "the hub doesn't know this token: give the one that it was started with",
                404 | 405 => "expected a larnax hub there; check the URL",
                _ => "expected `101 Switching Protocols`",
            };
            Err(SessionError::Refused(format!("{url} answered {}: {hint}", answer.status())))
        }
        Err(error) => Err(SessionError::Refused(format!("{url}: {error}; expected a larnax hub there"))),
    }
}

/// Says who this is; gives back how often the hub wants to hear something.
///
/// # Errors
/// When it doesn't greet within ten seconds, or speaks another version.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    sender: &mut Sender<S>,
    receiver: &mut Receiver<S>,
    hello: Hello,
) -> Result<Duration, SessionError> {
    sender.send(&FromEdge::Hello(hello)).await?;
    let greeting = async {
        loop {
            if let Heard::Message(FromHub::Welcome(welcome)) = receiver.next::<FromHub>().await? {
                return Ok::<_, SessionError>(welcome);
            }
        }
    };
    let late = |_| SessionError::Refused(format!("the hub did not greet within {} s", GREETING.as_secs()));
    let welcome = timeout(GREETING, greeting).await.map_err(late)??;
    if welcome.protocol != PROTOCOL {
        return Err(SessionError::Refused(format!(
            "the hub {} speaks version {} of the session, this program {PROTOCOL}: bring both to one version",
            welcome.version, welcome.protocol
        )));
    }
    Ok(Duration::from_secs_f64(welcome.heartbeat_seconds.clamp(HEARTBEAT.0, HEARTBEAT.1)))
}
