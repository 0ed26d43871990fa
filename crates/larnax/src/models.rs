//! `larnax models`: what agents have learnt, as files: to look at, to carry to another machine, to join, to take back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use larnax_core::model_store::{Envelope, MAX_PAYLOAD_BYTES, ModelStore};
use larnax_core::{Component, ComponentId};
use larnax_detect::{Settings, Watch};
use larnax_edge_role::models::FileStore;
use larnax_spec::Environment;
use serde::Serialize;

use crate::cli::{ModelsArgs, ModelsCommand};
use crate::output::{columns, print, short};

/// What is told of one stored model.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    version: u64,
    kind: String,
    detector: Option<String>,
    bytes: usize,
}

pub(crate) fn models(args: &ModelsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ModelsCommand::List => {
            let store = open(args)?;
            let listed = list(&store)?;
            print(args.output, listed.as_slice(), table)?;
        }
        ModelsCommand::Export { name, file } => {
            let stored = open(args)?.get(name)?;
            let stored =
                stored.with_context(|| format!("there is no model `{name}`: see `larnax models list`"))?;
            fs::write(file, stored.bytes).with_context(|| format!("{}", file.display()))?;
        }
        ModelsCommand::Import { file, name } => {
            let (store, bytes) = (open_alone(args)?, read(file)?);
            if name.starts_with("component/") {
                load(&bytes).with_context(|| format!("{}", file.display()))?;
            }
            let version = put(&store, name, &bytes)?;
            eprintln!("{name} is at version {version}; its agent takes it when it starts");
        }
        ModelsCommand::Rollback { name } => {
            let store = open_alone(args)?;
            let previous = store.previous(name)?;
            let previous =
                previous.with_context(|| format!("of `{name}` there is no version before the newest one"))?;
            let version = put(&store, name, &previous.bytes)?;
            eprintln!("{name} is at version {version} again with what version {} was", previous.version);
        }
        ModelsCommand::Merge { files, out } => merge(files, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn folder(args: &ModelsArgs) -> PathBuf {
    args.state.clone().unwrap_or_else(|| Environment::of_process().state_dir())
}

/// The store, which must be there: a mistyped folder is not made.
fn open(args: &ModelsArgs) -> anyhow::Result<FileStore> {
    let models = folder(args).join("models");
    if !models.is_dir() {
        bail!("{}: no agent has kept anything here; give its folder with --state", models.display());
    }
    FileStore::open(&models).with_context(|| format!("{}", models.display()))
}

/// The same, when no agent runs on it: it would not see what is written, and write over it.
fn open_alone(args: &ModelsArgs) -> anyhow::Result<FileStore> {
    let lock = folder(args).join("outbox").join("outbox.lock");
    if let Ok(file) = File::options().write(true).open(&lock)
        && matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock))
    {
        bail!("{}: an agent uses this folder; stop it first", folder(args).display());
    }
    open(args)
}

fn put(store: &FileStore, name: &str, bytes: &[u8]) -> anyhow::Result<u64> {
    let newest = store.get(name)?.map_or(0, |stored| stored.version);
    Ok(store.put(name, newest, bytes)?)
}

fn list(store: &FileStore) -> anyhow::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for name in store.list("")? {
        let Some(stored) = store.get(&name)? else { continue };
        let kind = Envelope::decode(&stored.bytes)?.kind.to_owned();
        let detector = Watch::detector_of(&stored.bytes).ok().map(|kind| kind.as_str().to_owned());
        listed.push(Listed { name, version: stored.version, kind, detector, bytes: stored.bytes.len() });
    }
    for sentence in store.damaged() {
        eprintln!("larnax: {sentence}");
    }
    Ok(listed)
}

fn table(listed: &[Listed]) -> String {
    let row = |l: &Listed| {
        let detector = l.detector.clone().unwrap_or_default();
        vec![l.name.clone(), l.version.to_string(), l.kind.clone(), detector, short(l.bytes as f64)]
    };
    columns(&["name", "version", "kind", "detector", "bytes"], &listed.iter().map(row).collect::<Vec<_>>())
}

/// A file with a model: as exported, or as it lies in a state folder, with its version before it.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("{}", file.display());
    let size = fs::metadata(file).with_context(named)?.len();
    if size > MAX_PAYLOAD_BYTES as u64 + 4096 {
        bail!("{}: {size} bytes are more than a model has", file.display());
    }
    let mut bytes = fs::read(file).with_context(named)?;
    if Envelope::decode(&bytes).is_err() && bytes.get(8..).is_some_and(|rest| Envelope::decode(rest).is_ok())
    {
        bytes.drain(..8);
    }
    Envelope::decode(&bytes).with_context(named)?;
    Ok(bytes)
}

/// A watch that knows what is in saved state.
fn load(bytes: &[u8]) -> anyhow::Result<Watch> {
    let component = Component {
        id: ComponentId::from_parts("file", "local", "model"),
        group: "file".to_owned(),
        labels: Default::default(),
    };
    let settings = Settings { detector: Watch::detector_of(bytes)?, ..Settings::default() };
    let mut watch = Watch::new(component, settings);
    watch.restore(bytes)?;
    Ok(watch)
}

/// Joins what several agents learnt about components of one kind.
fn merge(files: &[PathBuf], out: &Path) -> anyhow::Result<()> {
    let [first, others @ ..] = files else { bail!("nothing to merge") };
    let named = |file: &Path| format!("{}", file.display());
    let own = read(first)?;
    let mut watch = load(&own).with_context(|| named(first))?;
    let mut models = Vec::new();
    for file in others {
        let model = read(file)?;
        load(&model).with_context(|| named(file))?;
        let (found, expected) = (Watch::detector_of(&model)?, Watch::detector_of(&own)?);
        if found != expected {
            bail!("{}: of detector `{}`, expected `{}`", named(file), found.as_str(), expected.as_str());
        }
        models.push(model);
    }
    watch.merge(&models).with_context(|| format!("{} and {} others", named(first), others.len()))?;
    fs::write(out, watch.save()).with_context(|| format!("{}", out.display()))?;
    eprintln!("{} models joined in {}", files.len(), out.display());
    Ok(())
}
