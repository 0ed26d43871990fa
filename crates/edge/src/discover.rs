//! What could be watched on this machine: local listeners, and those of them that have metrics.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use larnax_collect::Source;
use larnax_collect::scrape::{ScrapeOptions, ScrapeSource};
use larnax_core::{Batch, Clock, Schema};
use larnax_http::Url;
use larnax_topology::listeners::{Listener, listeners};

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
/// into it: a request is something that another program sees. To be called in a [`tokio::task::LocalSet`].
pub async fn ask(found: &[ListenerReport], clock: &Rc<dyn Clock>) -> Vec<String> {
    // All at once: those that don't answer would add up to minutes.
    let ask = |listener: &ListenerReport| {
        let (address, clock) = (listener.address.clone(), Rc::clone(clock));
        tokio::task::spawn_local(async move { has_metrics(&address, &clock).await.then_some(address) })
    };
    let asked: Vec<_> = found.iter().take(MAX_ASKED).map(ask).collect();
    let mut answered = Vec::new();
    for answer in asked {
        answered.extend(answer.await.ok().flatten());
    }
    answered
}

async fn has_metrics(address: &str, clock: &Rc<dyn Clock>) -> bool {
    let Ok(_) = address.parse::<SocketAddr>() else { return false };
    let Ok(url) = Url::parse(&format!("http://{address}/metrics")) else { return false };
    let Ok(mut source) = ScrapeSource::new(ScrapeOptions::new(url, TIMEOUT), Rc::clone(clock)) else {
        return false;
    };
    let Ok(nothing) = Schema::new(Vec::new()) else { return false };
    let mut batch = Batch::new(nothing);
    source.collect(&mut batch).await.is_ok() && !batch.schema().is_empty()
}
