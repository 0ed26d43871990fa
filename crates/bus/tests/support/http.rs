//! A server that mounts the bus, as a hub does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use larnax_bus::{Bus, HttpBus, HttpBusOptions, server};
use larnax_core::{Clock, SystemClock};
use larnax_http::{ClientOptions, Url};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A server that ends, with all its connections, when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    _task: JoinSet<()>,
}

impl Server {
    /// Serves `bus` on `address`; port 0 for any.
    pub async fn start(bus: Arc<dyn Bus>, address: SocketAddr) -> Server {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let bus = Arc::clone(&bus);
                connections.spawn(async move {
                    let answer = |request: hyper::Request<hyper::body::Incoming>| {
                        let bus = Arc::clone(&bus);
                        async move {
                            let (head, body) = request.into_parts();
                            let body = Limited::new(body, server::MAX_BODY_BYTES + 1).collect().await;
                            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                            let now = SystemClock.now();
                            Ok::<_, Infallible>(server::answer(bus.as_ref(), &head, &body, now).await)
                        }
                    };
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                });
            }
        });
        Server { address, _task: task }
    }
}

/// A bus on the server at `address`.
pub fn client(address: SocketAddr) -> HttpBus {
    client_of(&format!("http://{address}"), ClientOptions::default())
}

/// A bus on the server at `url`.
pub fn client_of(url: &str, http: ClientOptions) -> HttpBus {
    let give_up_after = Duration::from_secs(5);
    HttpBus::new(HttpBusOptions { url: Url::parse(url).unwrap(), http, give_up_after }).unwrap()
}
