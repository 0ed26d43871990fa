//! Virtual machines, with the real `virsh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use larnax_act::Offered;
use larnax_act::actuators::Virsh;
use larnax_spec::{VirshAction, VirshVerb};
use larnax_test_peers::{Peer, Peers};

use crate::support::{action, offered};
use crate::worlds::{TIMEOUT, World, script};

/// The real `virsh` with libvirt's test driver. Its machines live as long as a connection, so each call first does again what was done
/// before.
pub struct Machines {
    folder: PathBuf,
    verb: VirshVerb,
}

impl Machines {
    pub fn at(folder: &Path, verb: VirshVerb) -> Option<Self> {
        let peers = Peers::for_test(&[Peer::Virsh])?;
        let command = peers.command(Peer::Virsh);
        let libraries =
            command.get_envs().find_map(|(name, value)| (name == "LD_LIBRARY_PATH").then_some(value?))?;
        let history = match verb {
            VirshVerb::Resume => "suspend --domain orders;",
            VirshVerb::Start => "destroy --domain orders;",
            _ => "",
        };
        fs::write(folder.join("history"), history).unwrap();
        fs::write(
            folder.join("machines.xml"),
            "<node><domain type='test'><name>orders</name><memory>8192</memory><os><type>hvm</type></os></domain></node>",
        )
        .unwrap();
        let (history, virsh) = (folder.join("history"), command.get_program().to_string_lossy().into_owned());
        script(
            &folder.join("virsh"),
            &format!(
                "export LD_LIBRARY_PATH='{}'\nwanted=\"$4 $5 $6\"\n\
                 {virsh} \"$1\" \"$2\" \"$3\" \"$(cat {history}) $wanted\" || exit 1\n\
                 [ $4 = domstate ] || echo \"$wanted;\" >> {history}",
                libraries.to_string_lossy(),
                history = history.display()
            ),
        );
        Some(Self { folder: folder.to_owned(), verb })
    }

    fn connect(&self) -> String {
        format!("test://{}", self.folder.join("machines.xml").display())
    }
}

impl World for Machines {
    fn name(&self) -> &'static str {
        "virsh"
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        let spec =
            VirshAction { domain: "{name}".to_owned(), r#do: self.verb, connect: Some(self.connect()) };
        let mut it = offered(&action(TIMEOUT, |action| action.virsh = Some(spec.clone())));
        it.actuator = Rc::new(Virsh::new(spec).with_program(&self.folder.join("virsh")));
        it
    }
    fn state(&self) -> String {
        let connect = self.connect();
        let arguments = ["--quiet", "--connect", &connect, "domstate", "--domain", "orders"];
        let output = std::process::Command::new(self.folder.join("virsh")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
    fn lose(&mut self) {
        let history = fs::read_to_string(self.folder.join("history")).unwrap();
        let end = if self.state() == "shut off" { "" } else { "destroy --domain orders;" };
        fs::write(self.folder.join("history"), format!("{history} {end} undefine --domain orders;")).unwrap();
    }
}
