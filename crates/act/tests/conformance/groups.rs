//! Control groups.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use larnax_act::Offered;
use larnax_act::actuators::Cgroup;
use larnax_spec::CgroupAction;

use crate::support::{action, offered};
use crate::worlds::{TIMEOUT, World};

/// Files that look like a cgroup's, or a cgroup.
pub struct Limits {
    folder: PathBuf,
    root: PathBuf,
    path: String,
    set: Vec<(&'static str, &'static str)>,
    real: bool,
}

impl Limits {
    pub fn in_files(folder: &Path) -> Self {
        let group = folder.join("root/shop/orders");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
        fs::write(group.join("memory.high"), "max\n").unwrap();
        Self {
            folder: folder.to_owned(),
            root: folder.join("root"),
            path: "/{scope}/{name}".to_owned(),
            set: vec![("cpu.max", "50000 100000"), ("memory.high", "512M")],
            real: false,
        }
    }

    /// A cgroup of version 2 that is made for this, where this user may. Without controllers there are still limits of its own kind.
    pub fn of_the_kernel(folder: &Path) -> Option<Self> {
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        let root = root.into_iter().find(|root| root.join("cgroup.controllers").exists());
        let name = format!("larnax-test-{}", folder.file_name()?.to_string_lossy().trim_start_matches('.'));
        let made = root.filter(|root| fs::create_dir(root.join(&name)).is_ok());
        let Some(root) = made else {
            eprintln!("LEFT OUT cgroups of the kernel: this user can't make one");
            return None;
        };
        let set = vec![("cgroup.max.depth", "3"), ("cgroup.max.descendants", "5")];
        Some(Self { folder: folder.to_owned(), root, path: format!("/{name}"), set, real: true })
    }

    fn group(&self) -> PathBuf {
        let path = self.path.replace("{scope}", "shop").replace("{name}", "orders");
        self.root.join(path.trim_start_matches('/'))
    }
}

impl World for Limits {
    fn name(&self) -> &'static str {
        if self.real { "cgroup of the kernel" } else { "cgroup in files" }
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        let set = self.set.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect();
        let spec = CgroupAction { path: self.path.clone(), set };
        let mut it = offered(&action(TIMEOUT, |action| action.cgroup = Some(spec.clone())));
        it.actuator = Rc::new(Cgroup::new(spec).with_root(&self.root));
        it
    }
    fn state(&self) -> String {
        let value = |file: &&str| fs::read_to_string(self.group().join(file)).unwrap().trim().to_owned();
        self.set.iter().map(|(file, _)| value(file)).collect::<Vec<_>>().join(", ")
    }
    fn lose(&mut self) {
        if self.real {
            fs::remove_dir(self.group()).unwrap()
        } else {
            fs::remove_dir_all(self.group()).unwrap()
        }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        if self.real {
            let _ = fs::remove_dir(self.group());
        }
    }
}
