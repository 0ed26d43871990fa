//! Orders to a process of the shop: a small HTTP API on loopback for whoever has the token of the shop's folder. It is not
//! the port that customers and scrapers use, and it answers while that one is frozen or closed.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode, header};
use larnax_http::{Auth, Client, ClientOptions, Secret, SecretSource, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::faults::Keeper;
use crate::http::{self, Answer};
use crate::load::Load;
use crate::mend::{AWAY, Answered, Mend};
use crate::{Active, Order, Remedy, Role, ShopError};

/// How long an answer to an order may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it is.
    pub role: Role,
    /// How often it was started again.
    pub restarts: u64,
    /// How long it has been up, in seconds.
    pub uptime_seconds: f64,
    /// The faults that it has now.
    pub faults: Vec<Active>,
    /// What the load generator sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
}

/// What the load generator sent since it started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// Requests.
    pub requests: u64,
    /// Those that got a 5xx, or no answer.
    pub failed: u64,
    /// Arrivals that were not sent, because too many were under way.
    pub skipped: u64,
    /// What it aims at now, in requests a second.
    pub requests_per_second: f64,
}

/// An order to the load generator: so many times the usual traffic, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrafficStep {
    pub(crate) factor: f64,
    pub(crate) seconds: f64,
}

/// What takes orders.
pub(crate) struct Admin {
    pub(crate) role: Role,
    pub(crate) restarts: u64,
    pub(crate) started: Instant,
    pub(crate) token: String,
    /// None for the load generator.
    pub(crate) keeper: Option<Keeper>,
    /// None for services.
    pub(crate) load: Option<Rc<Load>>,
    /// Says that the process is to be started again, and how long it is to be away.
    pub(crate) again: watch::Sender<Option<Duration>>,
}

impl Admin {
    /// Takes orders until it is dropped.
    pub(crate) async fn serve(self: Rc<Self>, listener: TcpListener) {
        http::serve(&listener, move |request| Rc::clone(&self).answer(request)).await;
    }

    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Answer {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if !same(given.as_bytes(), self.token.as_bytes()) {
            return http::text(StatusCode::UNAUTHORIZED, "expected the token of the shop's folder");
        }
        let (head, body) = request.into_parts();
        let Some(body) = http::body(body).await else {
            return http::text(StatusCode::PAYLOAD_TOO_LARGE, "expected a short JSON object");
        };
        match (&head.method, head.uri.path(), &self.keeper, &self.load) {
            (&Method::GET, "/status", _, _) => http::json(StatusCode::OK, &self.report()),
            (&Method::POST, "/faults", Some(keeper), _) => {
                obey(&body, async |order: Order| keeper.begin(&order).await).await
            }
            (&Method::DELETE, "/faults", Some(keeper), _) => {
                keeper.end_all().await;
                http::json(StatusCode::OK, &self.report())
            }
            (&Method::POST, "/mend", Some(keeper), _) => {
                obey(&body, async |Mend { remedy }| Ok(self.mend(keeper, remedy).await)).await
            }
            (&Method::POST, "/traffic", _, Some(load)) => {
                let step = async |step: TrafficStep| {
                    load.step(step.factor, Duration::try_from_secs_f64(step.seconds))
                };
                obey(&body, step).await
            }
            (&Method::POST, "/restart", _, _) => {
                self.start_again(Duration::ZERO);
                http::json(StatusCode::OK, &self.report())
            }
            _ => http::text(StatusCode::NOT_FOUND, "it does not do that"),
        }
    }

    fn start_again(&self, away: Duration) {
        self.again.send_modify(|again| *again = (*again).max(Some(away)));
    }

    async fn mend(&self, keeper: &Keeper, remedy: Remedy) -> Answered {
        // First, so that whoever gives up waiting has not ended faults without the price of it.
        if remedy.starts_again() {
            self.start_again(AWAY);
        }
        Answered { ended: keeper.mend(remedy).await, restarts: self.restarts }
    }

    fn report(&self) -> Report {
        Report {
            role: self.role,
            restarts: self.restarts,
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            faults: self.keeper.as_ref().map(Keeper::active).unwrap_or_default(),
            sent: self.load.as_ref().map(|load| load.sent()),
        }
    }
}

async fn obey<O: DeserializeOwned, A: Serialize>(
    body: &[u8],
    act: impl AsyncFnOnce(O) -> Result<A, ShopError>,
) -> Answer {
    let refuse = |refusal: String| http::text(StatusCode::BAD_REQUEST, refusal);
    let order = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(error) => return refuse(error.to_string()),
    };
    match act(order).await {
        Ok(done) => http::json(StatusCode::OK, &done),
        Err(refusal) => refuse(refusal.to_string()),
    }
}

/// Takes the same time wherever the two differ. An empty one is nobody's.
fn same(a: &[u8], b: &[u8]) -> bool {
    !b.is_empty() && a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

/// Who orders.
#[derive(Clone, Debug)]
pub(crate) struct Orderer {
    /// Whose answers they are, for errors.
    pub(crate) role: Role,
    pub(crate) address: SocketAddr,
    pub(crate) token: Secret,
}

impl Orderer {
    /// Asks for its report.
    pub(crate) fn report(&self) -> Result<Report, ShopError> {
        self.send(Method::GET, "/status", &())
    }

    /// Sends an order and waits for the answer. Blocks.
    pub(crate) fn send<O: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        order: &O,
    ) -> Result<A, ShopError> {
        let failed = |reason: String| ShopError::NoAnswer { role: self.role.to_string(), reason };
        let auth = Auth::bearer(SecretSource::Inline(self.token.clone()));
        let order = serde_json::to_vec(order).map_err(|error| failed(error.to_string()))?;
        let answer = exchange(auth, method, &format!("http://{}{path}", self.address), &order);
        let (status, body) = answer.map_err(failed)?;
        if status == StatusCode::BAD_REQUEST {
            return Err(ShopError::Order(String::from_utf8_lossy(&body).into_owned()));
        }
        if !status.is_success() {
            return Err(failed(format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
    }
}

/// Whether a service answers customers. Blocks.
pub(crate) fn serves(address: SocketAddr) -> bool {
    let answer = exchange(Auth::default(), Method::GET, &format!("http://{address}/healthy"), &[]);
    answer.is_ok_and(|(status, _)| status.is_success())
}

fn exchange(auth: Auth, method: Method, url: &str, body: &[u8]) -> Result<(StatusCode, Vec<u8>), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let options = ClientOptions { timeout: PATIENCE, auth, ..ClientOptions::default() };
    wait(async {
        let mut client = Client::new(options).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let request = larnax_http::Request { method, ..larnax_http::Request::post(&url, body) };
        let response = client.send(request, &mut answer).await.map_err(|error| error.to_string())?;
        Ok((response.status(), answer))
    })
}

fn wait<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(work)
}
