//! How messages are sent: one JSON object a frame, compressed where it is long.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use larnax_core::Timestamp;
use larnax_http::header::{self, HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// The longest message in JSON, in bytes: what a session may make the other side hold.
pub const MAX_MESSAGE_BYTES: usize = 32 << 20;
/// The longest frame, in bytes.
const MAX_FRAME_BYTES: usize = 8 << 20;
/// A longer message is compressed.
const COMPRESSED_FROM: usize = 1 << 10;

/// Why a session ended, or can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The other side said that it ends the session.
    #[error("the other side ended the session: {0}")]
    Ended(String),
    /// The connection broke.
    #[error("the session broke off: {0}")]
    Broken(String),
    /// What came is no message of this protocol.
    #[error("what came is no message: {0}; expected one JSON object as larnax sends it")]
    Message(String),
    /// A message is too long.
    #[error("a message of {found} bytes: expected at most {limit}")]
    TooLong {
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// There is no connection.
    #[error(transparent)]
    Http(#[from] larnax_http::HttpError),
    /// The other side doesn't open sessions, or not for us.
    #[error("{0}")]
    Refused(String),
}

impl From<Error> for SessionError {
    fn from(error: Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Limits of every session.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .max_write_buffer_size(2 * MAX_FRAME_BYTES)
}

/// The sending half.
pub struct Sender<S> {
    frames: SplitSink<WebSocketStream<S>, Message>,
    sent: u64,
}

/// The receiving half.
pub struct Receiver<S> {
    frames: SplitStream<WebSocketStream<S>>,
    last_bytes: u64,
}

/// Both halves of a session over `socket`.
pub fn split<S: AsyncRead + AsyncWrite + Unpin>(socket: WebSocketStream<S>) -> (Sender<S>, Receiver<S>) {
    let (sender, receiver) = socket.split();
    (Sender { frames: sender, sent: 0 }, Receiver { frames: receiver, last_bytes: 0 })
}

/// A message as it is sent.
#[derive(Clone, Debug)]
pub struct Encoded(Message);

impl Encoded {
    /// Encodes a message.
    pub fn of(message: &impl Serialize) -> Result<Self, SessionError> {
        let json =
            serde_json::to_string(message).map_err(|error| SessionError::Message(error.to_string()))?;
        if json.len() > MAX_MESSAGE_BYTES {
            return Err(SessionError::TooLong { found: json.len(), limit: MAX_MESSAGE_BYTES });
        }
        if json.len() < COMPRESSED_FROM {
            return Ok(Self(Message::text(json)));
        }
        let mut encoder = ZlibEncoder::new(Vec::with_capacity(json.len() / 4), Compression::default());
        let bytes = encoder.write_all(json.as_bytes()).and_then(|()| encoder.finish());
        let bytes = bytes.map_err(|error| SessionError::Message(error.to_string()))?;
        if bytes.len() > MAX_FRAME_BYTES {
            return Err(SessionError::TooLong { found: bytes.len(), limit: MAX_FRAME_BYTES });
        }
        Ok(Self(Message::binary(bytes)))
    }

    /// Its length on the wire without the frame's header.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    /// Sends a message; resolves when it is handed to the connection, which is how a slow one holds the sender back.
    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), SessionError> {
        self.send_encoded(Encoded::of(message)?).await
    }

    /// The same for a message that was encoded to see how long it is.
    pub async fn send_encoded(&mut self, message: Encoded) -> Result<(), SessionError> {
        self.sent += message.bytes() as u64;
        Ok(self.frames.send(message.0).await?)
    }

    /// Says that this side is there and what time it has there, and asks whether the other one is: its answer counts as something
    /// heard. One small frame, since idle sites send nothing else.
    pub async fn ping(&mut self, time: Timestamp) -> Result<(), SessionError> {
        let time = Bytes::copy_from_slice(&time.nanos().to_be_bytes());
        self.sent += time.len() as u64;
        Ok(self.frames.send(Message::Ping(time)).await?)
    }

    /// How many bytes were sent since this was last asked, without what frames and TLS add.
    pub fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Ends the session and says why.
    pub async fn end(&mut self, reason: &str) {
        // The reason of a close frame has at most 123 bytes.
        let mut end = reason.len().min(120);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let frame = CloseFrame { code: CloseCode::Policy, reason: reason[..end].into() };
        // Who is gone needs no reason.
        let _ = self.frames.send(Message::Close(Some(frame))).await;
    }
}

/// Something was heard.
#[derive(Debug)]
pub enum Heard<T> {
    /// A message.
    Message(T),
    /// A sign of life, with the time that the other side has.
    Time(Timestamp),
    /// A sign of life.
    Sign,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// The next message or sign of life. Cancelling it is safe.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Heard<T>, SessionError> {
        let frame = self.frames.next().await;
        if let Some(Ok(frame)) = &frame {
            self.last_bytes = frame.len() as u64;
        }
        match frame {
            None => Err(SessionError::Ended("without a reason".to_owned())),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(Message::Text(text))) => decode(text.as_bytes()).map(Heard::Message),
            Some(Ok(Message::Binary(bytes))) => decode(&inflate(&bytes)?).map(Heard::Message),
            Some(Ok(Message::Close(frame))) => Err(SessionError::Ended(
                frame.map_or_else(|| "without a reason".to_owned(), |frame| frame.reason.as_str().to_owned()),
            )),
            Some(Ok(Message::Ping(time))) => {
                let nanos = <[u8; 8]>::try_from(&*time).map(i64::from_be_bytes);
                Ok(nanos.map_or(Heard::Sign, |nanos| Heard::Time(Timestamp::from_nanos(nanos))))
            }
            Some(Ok(_)) => Ok(Heard::Sign),
        }
    }

    /// How long what was heard last was on the wire.
    pub fn last_bytes(&self) -> u64 {
        self.last_bytes
    }
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, SessionError> {
    let mut json = Vec::with_capacity(bytes.len().saturating_mul(4).min(MAX_MESSAGE_BYTES));
    let limit = MAX_MESSAGE_BYTES as u64 + 1;
    ZlibDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut json)
        .map_err(|error| SessionError::Message(format!("it can't be decompressed ({error})")))?;
    if json.len() > MAX_MESSAGE_BYTES {
        return Err(SessionError::TooLong { found: json.len(), limit: MAX_MESSAGE_BYTES });
    }
    Ok(json)
}

fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, SessionError> {
    serde_json::from_slice(json).map_err(|error| SessionError::Message(error.to_string()))
}

/// The hub's side of a connection that was upgraded.
pub async fn server_side<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (Sender<S>, Receiver<S>) {
    split(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await)
}

/// What a hub answers to a request that asks for a session: the value of `Sec-WebSocket-Accept`; none where it asks for something
/// else.
pub fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name, wanted: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
    };
    let asked = has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}
