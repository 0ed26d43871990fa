//! Asks a running agent.

use std::time::Duration;

use anyhow::{Context, bail};
use larnax_edge_role::server::api::ErrorReport;
use larnax_http::{Auth, Client, ClientOptions, HeaderValue, Request, SecretSource, TlsOptions, Url, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::AskArgs;

/// A loopback agent that takes longer is not well.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whoever wants something waits for the answer, for up to ten seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Asks the agent for `path`, which begins with a slash.
pub(crate) fn ask<T: DeserializeOwned>(args: &AskArgs, path: &str) -> anyhow::Result<T> {
    send(args, path, None)
}

/// Tells it something.
pub(crate) fn tell<T: DeserializeOwned>(
    args: &AskArgs,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<T> {
    send(args, path, Some(serde_json::to_vec(body)?))
}

fn send<T: DeserializeOwned>(args: &AskArgs, path: &str, sent: Option<Vec<u8>>) -> anyhow::Result<T> {
    let url = Url::parse(&format!("{}{path}", args.url.trim_end_matches('/')))?;
    let auth = match &args.token_file {
        Some(file) => Auth::bearer(SecretSource::File(file.clone())),
        None => Auth::None,
    };
    let timeout = if sent.is_some() { ANSWERED_WITHIN } else { TIMEOUT };
    let tls = TlsOptions { ca_file: args.ca_file.clone(), ..TlsOptions::default() };
    let options = ClientOptions { timeout, connect_timeout: TIMEOUT, auth, tls, ..ClientOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let mut body = Vec::new();
    let response = runtime
        .block_on(async {
            let request = match &sent {
                Some(sent) => Request::post(&url, sent).with_headers(&json),
                None => Request::get(&url),
            };
            Client::new(options)?.send(request, &mut body).await
        })
        .with_context(|| {
            format!("no agent answers at {}; start one with `larnax`, or give --url", args.url)
        })?;
    if !response.status().is_success() {
        let reason = serde_json::from_slice::<ErrorReport>(&body).map(|report| report.error);
        let reason = reason.unwrap_or_else(|_| "it gave no reason; is that a Larnax agent?".to_owned());
        bail!("{} answered {}: {reason}", args.url, response.status());
    }
    serde_json::from_slice(&body)
        .with_context(|| format!("{} gave an answer that this version doesn't understand", args.url))
}
