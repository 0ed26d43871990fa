//! What answers are made of.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// What every error answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorReport {
    /// What was found, where, what was expected, what to do.
    pub error: String,
}

/// An error as JSON.
pub fn error(status: StatusCode, message: String) -> Answer {
    let body = serde_json::to_vec(&ErrorReport { error: message }).unwrap_or_default();
    text(status, "application/json", body)
}

/// A path that doesn't know this method.
pub fn not_allowed(method: &Method, path: &str, allowed: &'static str) -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, format!("{method} {path}: expected {allowed}"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// A value as JSON.
pub fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => text(StatusCode::OK, "application/json", body),
        Err(problem) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer can't be written: {problem}"))
        }
    }
}

/// A text, or whatever the type says.
pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// The query of a URL: `a=1&b=two%20words`.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a>(pub &'a str);

impl Query<'_> {
    /// All values of a key, in their order.
    pub fn all(&self, key: &str) -> Vec<String> {
        form_urlencoded::parse(self.0.as_bytes())
            .filter(|(k, _)| k == key)
            .map(|(_, v)| v.into_owned())
            .collect()
    }

    /// The first value of a key.
    pub fn first(&self, key: &str) -> Option<String> {
        self.all(key).into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_may_name_a_key_more_than_once() {
        let query = Query("component=node%2Flocal%2Fa&metric=cpu%7Bx%3D%221%22%7D&metric=b+c");
        assert_eq!(query.first("component").unwrap(), "node/local/a");
        assert_eq!(query.all("metric"), ["cpu{x=\"1\"}", "b c"]);
        assert_eq!(query.first("none"), None);
    }
}
