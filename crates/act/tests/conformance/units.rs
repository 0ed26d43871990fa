//! Units of a real systemd.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use larnax_act::Offered;
use larnax_act::actuators;
use larnax_spec::{SystemdAction, SystemdVerb};
use larnax_test_peers::{Peer, Peers, Systemd};

use crate::support::{action, offered};
use crate::worlds::{TIMEOUT, World};

const UNIT: &str = "orders.service";
/// It ends by itself in time, should its manager be killed.
const TEXT: &str = "[Service]\nExecStart=/bin/sleep 120\nExecReload=/bin/true\n";

/// A unit, and what is done to it.
pub struct Units {
    folder: PathBuf,
    verb: SystemdVerb,
    systemd: Systemd,
}

impl Units {
    pub fn at(folder: &Path, verb: SystemdVerb) -> Option<Self> {
        let systemd = Systemd::start(&Peers::for_test(&[Peer::Systemd])?, &[(UNIT, TEXT)])?;
        if verb != SystemdVerb::Start {
            systemd.order(&["start", UNIT]);
        }
        Some(Self { folder: folder.to_owned(), verb, systemd })
    }
}

impl World for Units {
    fn name(&self) -> &'static str {
        "systemd"
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        let spec = SystemdAction { unit: "{name}.service".to_owned(), r#do: self.verb, user: true };
        let mut it = offered(&action(TIMEOUT, |action| action.systemd = Some(spec.clone())));
        it.actuator = Rc::new(actuators::Systemd::new(spec).with_program(&self.systemd.systemctl()));
        it
    }
    fn state(&self) -> String {
        // Another one after each start, also after one that takes something back.
        let started = if self.verb == SystemdVerb::Restart { ",InvocationID" } else { "" };
        self.systemd.order(&["show", &format!("--property=ActiveState{started}"), UNIT])
    }
    fn lose(&mut self) {
        self.systemd.order(&["stop", UNIT]);
        std::fs::remove_file(self.systemd.units().join(UNIT)).unwrap();
        self.systemd.order(&["daemon-reload"]);
    }
}
