//! From a text and an environment to a checked config.

use std::io::Read;
use std::path::Path;

use crate::check::{self, Finding};
use crate::config::Config;
use crate::env::{self, Environment};
use crate::prometheus;
use crate::report::{self, ConfigErrors, Problem, Warning};
use crate::yaml::{Document, Located, MAX_TEXT_BYTES};

impl Config {
    /// Reads and checks a config. `file` is only for messages. No effects, no environment: a `${NAME}` in the text is an
    /// error; see [`Config::from_yaml_in`].
    pub fn from_yaml(text: &str, file: &str) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        Self::from_yaml_in(text, file, &Environment::default())
    }

    /// Reads and checks a config in an environment: `${NAME}` in any value is replaced, then `LARNAX_*` variables override
    /// fields (see [`crate::env`]).
    ///
    /// # Errors
    /// All problems that can be told apart, not only the first.
    pub fn from_yaml_in(
        text: &str,
        file: &str,
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        Self::read(text, file, Path::new(""), environment)
    }

    /// `base` is what relative paths in the text are relative to; those of variables stay as they are.
    fn read(
        text: &str,
        file: &str,
        base: &Path,
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let (mut located, mut ignored) = (Vec::new(), Vec::new());
        let Some(mut document) = Document::parse(text, &mut located) else {
            let problems = located.into_iter().map(|problem| Problem::located(file, problem)).collect();
            return Err(ConfigErrors { problems });
        };
        document.expand(&|name| environment.get(name).map(str::to_owned), &mut located);
        prometheus::take_out_unsupported(&mut document.root, &mut located, &mut ignored);
        let mut config: Self = document.read(&mut located);
        let mut findings = check::before_folding(&config);
        let own_alertmanagers = config.alerts.alertmanagers.len();
        config.fold_prometheus();
        config.join_paths(base);
        let mut problems = Vec::new();
        let mut warnings: Vec<Warning> =
            ignored.into_iter().map(|found| Problem::located(file, found)).collect();
        config.override_from(environment, &mut problems, &mut warnings);
        let mut after = Vec::new();
        check::check(&config, &mut after);
        // Alertmanagers of the block `alerting` were checked where they stand.
        after.retain(|finding| !finding.path.is_below("alerts.alertmanagers", own_alertmanagers));
        findings.append(&mut after);
        for finding in findings {
            let warning = finding.warning;
            let Some(problem) = place(finding, &document, file, environment) else { continue };
            if warning { warnings.push(problem) } else { problems.push(problem) }
        }
        problems.extend(located.into_iter().map(|problem| Problem::located(file, problem)));
        report::in_file_order(&mut warnings);
        ConfigErrors::unless_empty(problems, (config, warnings))
    }

    /// Reads a config file in an environment; relative paths in it become relative to its folder.
    ///
    /// # Errors
    /// As [`Config::from_yaml_in`], and where the file can't be read.
    pub fn load(path: &Path, environment: &Environment) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let file = path.display().to_string();
        let text = read_text(path)
            .map_err(|message| ConfigErrors { problems: vec![Problem::unplaced(&file, "", message)] })?;
        Self::read(&text, &file, path.parent().unwrap_or(Path::new("")), environment)
    }

    /// The config without a file: the defaults and what the environment says.
    pub fn from_environment(environment: &Environment) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        Self::from_yaml_in("", "config", environment)
    }

    /// Checks a config again that was changed after it was read, by flags of a command line for example. `source` stands
    /// in messages where a file's name would.
    pub fn validate(&self, source: &str) -> Result<Vec<Warning>, ConfigErrors> {
        let mut findings = Vec::new();
        check::check(self, &mut findings);
        let (warnings, problems): (Vec<_>, Vec<_>) = findings.into_iter().partition(|found| found.warning);
        let report = |found: Finding| Problem::unplaced(source, found.path, found.message);
        ConfigErrors::unless_empty(
            problems.into_iter().map(report).collect(),
            warnings.into_iter().map(report).collect(),
        )
    }
}

/// Says where a finding comes from: a variable, a place of the file, or, for what was moved, where it stood before. None
/// for what could not be read and is thus reported already.
fn place(finding: Finding, document: &Document, file: &str, environment: &Environment) -> Option<Problem> {
    let field = finding.path.to_string();
    let given = document.has(&finding.path);
    let variable = env::VARIABLES
        .iter()
        .filter(|variable| environment.get(variable.name).is_some())
        .find(|variable| variable.field.is_some_and(|of| field == of || (field.starts_with(of) && !given)));
    if let Some(variable) = variable {
        return Some(Problem::unplaced("environment", variable.name, finding.message));
    }
    let before = finding.path.before_folding().filter(|before| !given && document.has(before));
    let (path, at) = document.locate(&before.unwrap_or(finding.path))?;
    Some(Problem::located(file, Located { path, at, message: finding.message }))
}

fn read_text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| {
        format!("the config file can't be read: {error}; is the path right, and may this user read it?")
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|&&byte| byte == b'\n').count() + 1;
        format!("found bytes on line {line} that are no UTF-8, expected a text file in UTF-8")
    })
}
