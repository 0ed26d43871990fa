//! What could be watched on this machine: local listeners, and those of them that have metrics.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use larnax_collect::Source;
use larnax_collect::listeners::{Listener, listeners};
use larnax_collect::scrape::{ScrapeOptions, ScrapeSource};
use larnax_core::{Batch, Clock, Schema};
use larnax_http::Url;

use crate::server::api::ListenerReport;

/// How long a listener may take to answer: it is on this machine.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How many listeners are asked at most.
const MAX_ASKED: usize = 64;

/// The TCP listeners of this machine that can be reached over loopback. Nobody is asked anything.
pub fn look() -> Vec<ListenerReport> {
    let report = |listener: Listener| ListenerReport {
        address: listener.addr.to_string(),
        process: listener.process.map(|(pid, name)| format!("{name}, pid {pid}")),
        watched: false,
    };
    listeners(Path::new("/proc")).into_iter().filter(|l| l.addr.ip().is_loopback()).map(report).collect()
}

/// Asks each of `found` for `/metrics`, and gives the addresses of those that have some. Only for a person who opted
/// into it: a request is something that another program sees.
pub async fn ask(found: &[ListenerReport], clock: &Rc<dyn Clock>) -> Vec<String> {
    let mut answered = Vec::new();
    for listener in found.iter().take(MAX_ASKED) {
        if has_metrics(&listener.address, clock).await {
            answered.push(listener.address.clone());
        }
    }
    answered
}

async fn has_metrics(address: &str, clock: &Rc<dyn Clock>) -> bool {
    let Ok(_) = address.parse::<SocketAddr>() else { return false };
    let Ok(url) = Url::parse(&format!("http://{address}/metrics")) else { return false };
    let Ok(mut source) = ScrapeSource::new(ScrapeOptions::new(url, TIMEOUT), Rc::clone(clock)) else { return false };
    let Ok(nothing) = Schema::new(Vec::new()) else { return false };
    let mut batch = Batch::new(nothing);
    source.collect(&mut batch).await.is_ok() && !batch.schema().is_empty()
}
