//! Who the client says it is: the `Authorization` header, from the options or from files.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

use crate::{HttpError, Url};

/// The largest file that is read for a password, token, key or certificate bundle. The bundle of all public authorities
/// has about 250 kB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// It stands in the options.
    Inline(Secret),
    /// It stands in a file, which is read at each request, so that a rotated token is used at once. White space at its
    /// end is dropped.
    File(PathBuf),
}

impl SecretSource {
    fn read(&self, option: &'static str) -> Result<String, HttpError> {
        match self {
            Self::Inline(secret) => Ok(secret.0.clone()),
            Self::File(path) => {
                let bytes = read_file(option, path)?;
                let mut text = String::from_utf8(bytes).map_err(|_| HttpError::File {
                    option,
                    path: path.clone(),
                    reason: "it is not UTF-8 text".to_owned(),
                })?;
                text.truncate(text.trim_end().len());
                Ok(text)
            }
        }
    }
}

/// Reads a file that the options name, up to a limit. Only regular files: opening a pipe could block for ever.
pub(crate) fn read_file(option: &'static str, path: &Path) -> Result<Vec<u8>, HttpError> {
    let error = |reason: String| HttpError::File { option, path: path.to_owned(), reason };
    let found = std::fs::metadata(path).map_err(|e| error(format!("{e}; expected a readable file there")))?;
    if !found.is_file() {
        return Err(error("it is not a regular file".to_owned()));
    }
    let file =
        std::fs::File::open(path).map_err(|e| error(format!("{e}; expected a readable file there")))?;
    let mut bytes = Vec::with_capacity(found.len().min(MAX_FILE_BYTES) as usize);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| error(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(error(format!("it is larger than the limit of {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// How the client says who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all, except with the user and password of a URL that has them.
    #[default]
    None,
    /// `Authorization: Basic`, RFC 7617.
    Basic {
        /// The user's name.
        username: SecretSource,
        /// The password.
        password: SecretSource,
    },
    /// `Authorization: SCHEME CREDENTIALS`, as in RFC 6750 with the scheme `Bearer`.
    Token {
        /// `Bearer`, usually.
        scheme: String,
        /// What follows it.
        credentials: SecretSource,
    },
}

impl Auth {
    /// `Authorization: Bearer`.
    pub fn bearer(token: SecretSource) -> Self {
        Self::Token { scheme: "Bearer".to_owned(), credentials: token }
    }

    /// Basic auth with both parts in the options.
    pub fn basic(username: &str, password: &str) -> Self {
        Self::Basic {
            username: SecretSource::Inline(Secret::new(username)),
            password: SecretSource::Inline(Secret::new(password)),
        }
    }

    /// The header's value for a request to `url`. Files are read here each time: a stat, an open and a read cost a few
    /// microseconds, and a cache by modification time would miss a rotation within one tick of the file system's clock.
    pub(crate) fn header(&self, url: &Url) -> Result<Option<HeaderValue>, HttpError> {
        let text = match self {
            Self::None => match url.userinfo() {
                Some((user, password)) => basic(user, password.expose()),
                None => return Ok(None),
            },
            Self::Basic { username, password } => {
                basic(&username.read("the user name's file")?, &password.read("the password's file")?)
            }
            Self::Token { scheme, credentials } => {
                let credentials = credentials.read("the credentials' file")?;
                if credentials.is_empty() {
                    return Err(HttpError::Options(format!("the {scheme} credentials are empty")));
                }
                format!("{scheme} {credentials}")
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| {
            HttpError::Options(
                "the credentials can't stand in a header: expected one line without control characters"
                    .to_owned(),
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(auth: &Auth, url: &str) -> Result<Option<String>, HttpError> {
        Ok(auth.header(&Url::parse(url)?)?.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_rotated_file_is_used_at_once_and_its_last_line_break_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let auth = Auth::bearer(SecretSource::File(path.clone()));
        for token in ["first", "other"] {
            std::fs::write(&path, format!("{token}\n")).unwrap();
            assert_eq!(header(&auth, "http://a/").unwrap().unwrap(), format!("Bearer {token}"));
        }
    }

    #[test]
    fn user_and_password_are_encoded_as_in_rfc_7617_section_2() {
        let expected = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
        assert_eq!(header(&Auth::basic("Aladdin", "open sesame"), "http://a/").unwrap(), expected);
        assert_eq!(header(&Auth::None, "http://Aladdin:open%20sesame@a/").unwrap(), expected);
        assert_eq!(header(&Auth::None, "http://a/").unwrap(), None);
    }

    #[test]
    fn files_that_cant_be_used_are_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let huge = folder.path().join("huge");
        std::fs::File::create(&huge).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        for (path, reason) in [
            (folder.path().join("absent"), "No such file"),
            (folder.path().to_owned(), "not a regular file"),
            (huge, "larger than the limit"),
        ] {
            let error = header(&Auth::bearer(SecretSource::File(path.clone())), "http://a/").unwrap_err();
            let message = error.to_string();
            assert!(error.is_config() && message.contains(reason), "{message}");
            assert!(message.contains(path.to_str().unwrap()), "{message}");
        }
    }

    #[test]
    fn credentials_that_cant_stand_in_a_header_are_refused_without_being_shown() {
        let auth = Auth::bearer(SecretSource::Inline(Secret::new("hush\nX: y")));
        let message = header(&auth, "http://a/").unwrap_err().to_string();
        assert!(message.contains("one line") && !message.contains("hush"), "{message}");
        assert!(!format!("{auth:?}").contains("hush"));
    }
}
