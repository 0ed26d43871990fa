//! Where an answer sends the client on to.

use hyper::{Method, StatusCode, header};

use crate::{Response, Url};

/// The URL to go on with, or none where the answer stands for itself.
///
/// 301 and 302 are followed for GET and HEAD only: by custom (RFC 9110 15.4.2) a POST would become a GET and lose its
/// body, and a lost alert that looks delivered is worse than a 302 that is reported. Never from https to http.
pub(crate) fn next(from: &Url, method: &Method, answer: &Response) -> Option<Url> {
    let safe = *method == Method::GET || *method == Method::HEAD;
    let follow = match answer.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => safe,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => false,
    };
    let location = answer.header(header::LOCATION).filter(|_| follow)?;
    from.join(location).ok().filter(|to| to.is_https() || !from.is_https())
}
