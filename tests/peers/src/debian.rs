//! The Debian commands that fetching needs. None of them changes the machine and none of them needs
//! root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// `apt-get` and `apt-cache`, on the machine's package lists or on lists of our own.
pub(crate) struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// On the lists that the machine has, which may be old or absent.
    pub(crate) fn of_the_machine() -> Apt {
        Apt { options: Vec::new() }
    }

    /// On lists that are downloaded now into `folder`. `apt-get update` on the machine's own lists would need
    /// root and would change the machine; with a folder of its own it needs neither. Beside the machine's own packages
    /// those of `foreign` architectures are listed, as Debian calls them.
    pub(crate) fn with_fresh_lists(folder: &Path, foreign: &BTreeSet<&str>) -> Result<Apt> {
        let (lists, cache) = (folder.join("lists"), folder.join("cache"));
        std::fs::create_dir_all(lists.join("partial"))?;
        std::fs::create_dir_all(cache.join("archives/partial"))?;
        let option = |name: &str, value: &str| ["-o".to_owned(), format!("{name}={value}")];
        let options = [
            option("Dir::State::lists", &lists.to_string_lossy()),
            option("Dir::Cache", &cache.to_string_lossy()),
            // What is read of the lists is kept, also where a container's apt is told not to: reading takes a second each time.
            option("Dir::Cache::pkgcache", "pkgcache.bin"),
            option("Dir::Cache::srcpkgcache", "srcpkgcache.bin"),
            // As root apt would change to the user `_apt`, who can't write into this folder.
            option("APT::Sandbox::User", ""),
        ];
        let native = output_of(Command::new("dpkg").arg("--print-architecture"))?;
        let listed = [native.trim()]
            .into_iter()
            .chain(foreign.iter().copied())
            .map(|name| option("APT::Architectures::", name));
        let apt = Apt { options: options.into_iter().chain(listed).flatten().collect() };
        // Without the option, lists that could not be downloaded are only a warning.
        apt.run("apt-get", &["-o", "APT::Update::Error-Mode=any", "update"], folder)?;
        Ok(apt)
    }

    /// The version of `package` that `download` would get; `None` if the lists don't know the package.
    pub(crate) fn candidate(&self, package: &str) -> Result<Option<String>> {
        let policy = self.run("apt-cache", &["policy", package], Path::new("/"))?;
        let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        Ok(candidate.filter(|version| *version != "(none)").map(str::to_owned))
    }

    /// The packages that `package` depends on directly, virtual ones left out.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let depends = self.run("apt-cache", &["depends", package], Path::new("/"))?;
        Ok(depends
            .lines()
            .filter_map(|line| line.trim().trim_start_matches('|').strip_prefix("Depends: "))
            .filter(|name| !name.starts_with('<'))
            .map(|name| name.split(':').next().unwrap_or(name).to_owned())
            .collect())
    }

    /// Downloads `package` into the empty folder `into` and returns the `.deb` file.
    pub(crate) fn download(&self, package: &str, into: &Path) -> Result<PathBuf> {
        self.run("apt-get", &["download", package], into)?;
        let entries = std::fs::read_dir(into)?.flatten().map(|entry| entry.path());
        let mut files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
        files.next().with_context(|| format!("apt-get download {package} left no .deb file"))
    }

    fn run(&self, program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
        let mut command = Command::new(program);
        command.arg("-q").args(&self.options).args(arguments).current_dir(folder).env("LC_ALL", "C");
        output_of(&mut command)
    }
}

/// Unpacks a `.deb` file under `root`. Nothing of it runs: no maintainer script, no service.
pub(crate) fn unpack(deb: &Path, root: &Path) -> Result<()> {
    output_of(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root)).map(drop)
}

/// Whether the machine itself has `package` installed.
pub(crate) fn is_installed(package: &str) -> bool {
    let status = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}\n", package]).output();
    status.is_ok_and(|output| output.stdout.starts_with(b"installed"))
}

/// The shared libraries that `program` asks for and that neither the machine nor `library_path` has.
pub(crate) fn missing_libraries(program: &Path, library_path: &std::ffi::OsStr) -> Result<Vec<String>> {
    // ldd fails on a static program, which lacks nothing.
    let output = Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", library_path).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.trim().strip_suffix(" => not found")).map(str::to_owned).collect())
}

fn output_of(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let shown = || format!("{program} {}", command.get_args().last().unwrap_or_default().to_string_lossy());
    let shown = shown();
    let Output { status, stdout, stderr } = command
        .output()
        .with_context(|| format!("{program} can't be run: the peers come from Debian's packages"))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!(
            "`{shown}` failed: {}",
            stderr.lines().find(|line| line.starts_with("E:")).unwrap_or(&stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
