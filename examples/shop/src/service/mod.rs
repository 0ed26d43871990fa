//! One service of the shop.

mod answer;
mod calls;
mod metrics;
mod work;

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::faults::{Effects, Presence};
use crate::options::ServeOptions;
use crate::random::Random;
use crate::{Service, ShopError, http};

use calls::Calls;
use metrics::Metrics;
use work::Work;

/// Requests that are worked on at once; the others queue.
const WORKERS: usize = 16;
/// How often it looks whether it is still frozen.
const STILL_FROZEN: Duration = Duration::from_millis(10);
/// How long it waits before it tries again to open its port.
const PORT_TAKEN: Duration = Duration::from_millis(200);

/// Everything that answering needs. It lives on the thread that serves.
struct Running {
    service: Service,
    effects: Arc<Effects>,
    metrics: Metrics,
    calls: Calls,
    work: RefCell<Work>,
    workers: Semaphore,
    random: RefCell<Random>,
}

/// What a service is made from, to be carried to its thread.
pub(crate) struct Parts {
    service: Service,
    options: ServeOptions,
    effects: Arc<Effects>,
    address: SocketAddr,
}

impl Parts {
    pub(crate) fn new(
        service: Service,
        options: ServeOptions,
        effects: Arc<Effects>,
        address: SocketAddr,
    ) -> Self {
        Self { service, options, effects, address }
    }

    /// Serves until the process ends. To be called on a thread of its own, which a frozen service holds up.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub(crate) fn run(self, listener: StdListener) -> Result<(), ShopError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        let runtime = runtime.map_err(ShopError::System)?;
        let Self { service, options, effects, address } = self;
        runtime.block_on(async move {
            let running = Rc::new(Running {
                service,
                metrics: Metrics::new(service, &options, Arc::clone(&effects)),
                calls: Calls::new(&options),
                work: RefCell::new(Work::new(options.folder.clone(), Random::new(options.seed, "work"))),
                workers: Semaphore::new(WORKERS),
                random: RefCell::new(Random::new(options.seed, service.name())),
                effects,
            });
            let mut presence = running.effects.presence();
            let mut listener =
                Some(listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)));
            loop {
                let open = match listener.take() {
                    Some(open) => open,
                    None => TcpListener::bind(address).await,
                };
                let Ok(open) = open else {
                    tokio::time::sleep(PORT_TAKEN).await;
                    continue;
                };
                let answering = Rc::clone(&running);
                let answer = move |request| Rc::clone(&answering).answer(request);
                tokio::select! {
                    () = http::serve(&open, answer) => {}
                    () = stopped(&mut presence) => {}
                }
                drop(open);
                let _ = presence.wait_for(|now| *now == Presence::Serving).await;
            }
        })
    }
}

/// Ready when the port is to be closed. While the service is frozen, nothing on this thread goes on.
async fn stopped(presence: &mut watch::Receiver<Presence>) {
    loop {
        let now = *presence.borrow_and_update();
        match now {
            Presence::Stopped => return,
            Presence::Frozen => {
                while *presence.borrow() == Presence::Frozen {
                    std::thread::sleep(STILL_FROZEN);
                }
            }
            Presence::Serving => {
                if presence.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}
