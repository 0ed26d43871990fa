//! Where results go: a file, or a folder for several. No two go to one place, and none to where something is read from.

use std::path::{Path, PathBuf};

use anyhow::bail;
use larnax_detect::DetectorKind;

use crate::cli::DetectArgs;

/// Where the results of one detector on one file go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Places {
    pub(crate) scores: Option<PathBuf>,
    pub(crate) plot: Option<PathBuf>,
    pub(crate) save: Option<PathBuf>,
    pub(crate) load: Option<PathBuf>,
}

/// The places of each input file, one for each detector.
pub(crate) fn all(args: &DetectArgs) -> anyhow::Result<Vec<Vec<Places>>> {
    if args.save.is_some() && args.files.len() > 1 {
        bail!("--save: a state is that of one file, found {}; judge them apart", args.files.len());
    }
    let mut taken = Vec::new();
    let mut files = Vec::new();
    for file in &args.files {
        let mut places = Vec::new();
        for &detector in &args.detector {
            let mut result = |option: &str, out: &Option<PathBuf>, ending: &str| {
                let path = out.as_ref().map(|out| result(option, out, args, file, detector, ending));
                path.transpose()?.map(|path| claim(option, path, args, &mut taken)).transpose()
            };
            let scores = result("--scores", &args.scores, "scores.csv")?;
            let plot = result("--plot", &args.plot, "svg")?;
            let save = args.save.as_ref().map(|out| state("--save", out, args, detector)).transpose()?;
            let save = save.map(|path| claim("--save", path, args, &mut taken)).transpose()?;
            let load = args.load.as_ref().map(|from| state("--load", from, args, detector)).transpose()?;
            places.push(Places { scores, plot, save, load });
        }
        files.push(places);
    }
    Ok(files)
}

/// `out` itself for a single result, or a file in that folder.
fn result(
    option: &str,
    out: &Path,
    args: &DetectArgs,
    file: &Path,
    detector: DetectorKind,
    ending: &str,
) -> anyhow::Result<PathBuf> {
    match (out.is_dir(), args.files.len(), args.detector.len()) {
        (true, _, 1) => Ok(out.join(format!("{}.{ending}", stem(file)))),
        (true, ..) => Ok(out.join(format!("{}.{}.{ending}", stem(file), detector.as_str()))),
        (false, 1, 1) => Ok(out.to_owned()),
        (false, files, detectors) => bail!(
            "{option} {}: with {files} input files and {detectors} detectors this must be a folder that exists",
            out.display()
        ),
    }
}

/// A state is that of a detector: `out` itself for a single one, or a file in that folder.
fn state(option: &str, out: &Path, args: &DetectArgs, detector: DetectorKind) -> anyhow::Result<PathBuf> {
    match args.detector.len() {
        _ if out.is_dir() => Ok(out.join(format!("{}.state", detector.as_str()))),
        1 => Ok(out.to_owned()),
        several => {
            bail!("{option} {}: with {several} detectors this must be a folder that exists", out.display())
        }
    }
}

fn claim(
    option: &str,
    path: PathBuf,
    args: &DetectArgs,
    taken: &mut Vec<PathBuf>,
) -> anyhow::Result<PathBuf> {
    if taken.contains(&path) {
        bail!("{option} {}: two results would go to one file; judge them apart", path.display());
    }
    let place = path.canonicalize().ok();
    let inputs = args.files.iter().chain(&args.train).map(PathBuf::as_path).chain(args.labels_file());
    if place.is_some() && inputs.into_iter().any(|input| input.canonicalize().ok() == place) {
        bail!("{option} {}: this is an input file, and would be overwritten", path.display());
    }
    taken.push(path.clone());
    Ok(path)
}

/// The file's name without its endings.
pub(crate) fn stem(file: &Path) -> String {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or("stdin");
    let name = if name == "-" { "stdin" } else { name };
    let stem = name
        .trim_end_matches(".gz")
        .trim_end_matches(".zst")
        .trim_end_matches(".csv")
        .trim_end_matches(".tsv");
    if stem.is_empty() { name.to_owned() } else { stem.to_owned() }
}
