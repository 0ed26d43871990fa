//! The suite on the bus in the process and on the bus over HTTP.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use larnax_bus::{Bus, LocalBus};
use support::file_log::FileLog;
use support::http::{Server, client};
use support::suite::Bed;
use tempfile::TempDir;

fn bus_in(folder: &TempDir) -> Arc<dyn Bus> {
    Arc::new(LocalBus::new(Arc::new(FileLog::open(&folder.path().join("log")))))
}

/// Both sides are the same bus; a restart opens the log anew. Nothing is between them.
struct LocalBed {
    folder: TempDir,
    bus: Arc<dyn Bus>,
}

impl LocalBed {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { bus: bus_in(&folder), folder }
    }
}

impl Bed for LocalBed {
    fn publishing(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.bus)
    }

    fn consuming(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.bus)
    }

    async fn restart_publishing(&mut self) {
        self.bus = bus_in(&self.folder);
    }

    async fn restart_consuming(&mut self) {
        self.bus = bus_in(&self.folder);
    }

    async fn break_middle(&mut self) {}

    async fn mend_middle(&mut self) {}
}

/// Clients on both sides, a server between them.
struct HttpBed {
    folder: TempDir,
    bus: Arc<dyn Bus>,
    server: Option<Server>,
    address: SocketAddr,
    publishing: Arc<dyn Bus>,
    consuming: Arc<dyn Bus>,
}

impl HttpBed {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus = bus_in(&folder);
        let server = Server::start(Arc::clone(&bus), (Ipv4Addr::LOCALHOST, 0).into()).await;
        let address = server.address;
        let (publishing, consuming) = (Arc::new(client(address)), Arc::new(client(address)));
        Self { folder, bus, server: Some(server), address, publishing, consuming }
    }
}

impl Bed for HttpBed {
    fn publishing(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.publishing)
    }

    fn consuming(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.consuming)
    }

    async fn restart_publishing(&mut self) {
        self.publishing = Arc::new(client(self.address));
    }

    async fn restart_consuming(&mut self) {
        self.consuming = Arc::new(client(self.address));
    }

    async fn break_middle(&mut self) {
        self.server = None;
        // A process that dies takes with it what it was just writing; an aborted task doesn't.
        while Arc::strong_count(&self.bus) > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    async fn mend_middle(&mut self) {
        self.bus = bus_in(&self.folder);
        self.server = Some(Server::start(Arc::clone(&self.bus), self.address).await);
    }
}

macro_rules! conformance {
    ($($module:ident $bed:ident: $($case:ident)*;)*) => {$(
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    super::support::suite::$case(super::$bed::start().await).await;
                }
            )*
        }
    )*};
}

conformance! {
    local LocalBed:
        events_of_a_component_arrive_in_order
        what_was_not_acknowledged_comes_again
        a_restart_of_either_side_loses_nothing
        an_event_published_again_is_kept_once
        a_slow_reader_holds_up_nobody
        of_ten_thousand_events_none_is_lost;
    http HttpBed:
        events_of_a_component_arrive_in_order
        what_was_not_acknowledged_comes_again
        a_restart_of_either_side_loses_nothing
        an_event_published_again_is_kept_once
        an_outage_between_the_sides_loses_nothing_and_keeps_order
        a_slow_reader_holds_up_nobody
        of_ten_thousand_events_none_is_lost;
}
