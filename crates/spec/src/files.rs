//! The files that a config names: are they there, and can they be read? Touches the disk, and nothing else.

use std::path::{Path as FilePath, PathBuf};

use crate::client::{Authorization, BasicAuth, TlsConfig};
use crate::config::Config;
use crate::path::Path;
use crate::report::{ConfigErrors, Problem, Warning};
use crate::value::Secret;

impl Config {
    /// Checks every file that the config names: secrets are there and not empty, certificates and keys are PEM. Warns of
    /// secrets that every user of the machine can read.
    ///
    /// # Errors
    /// All files that can't be used.
    pub fn check_files(&self) -> Result<Vec<Warning>, ConfigErrors> {
        let mut check = Check { problems: Vec::new(), warnings: Vec::new() };
        let root = Path::root();
        check.secret(self.api.bearer_token_file.as_deref(), root.key("api").key("bearer_token_file"));
        for (index, job) in self.scrape_configs.iter().enumerate() {
            let path = root.key("scrape_configs").index(index);
            check.client(&job.basic_auth, &job.authorization, &job.tls_config, &path);
            for (index, http) in job.http_sd_configs.iter().enumerate() {
                let path = path.key("http_sd_configs").index(index);
                check.client(&http.basic_auth, &http.authorization, &http.tls_config, &path);
            }
        }
        let alerts = root.key("alerts");
        for (name, receivers) in
            [("alertmanagers", &self.alerts.alertmanagers), ("webhooks", &self.alerts.webhooks)]
        {
            for (index, to) in receivers.iter().enumerate() {
                let path = alerts.key(name).index(index);
                check.client(&to.basic_auth, &to.authorization, &to.tls_config, &path);
            }
        }
        if let Some(hub) = &self.hub {
            let path = root.key("hub");
            check.secret(hub.bearer_token_file.as_deref(), path.key("bearer_token_file"));
            check.client(&None, &None, &hub.tls_config, &path);
        }
        for (index, action) in self.actions.iter().enumerate() {
            let path = root.key("actions").index(index);
            if let Some(webhook) = &action.webhook {
                let to = &webhook.to;
                let path = path.key("webhook").key("to");
                check.client(&to.basic_auth, &to.authorization, &to.tls_config, &path);
            }
        }
        if let Some(file) = self.alerts.jsonl.as_deref().filter(|file| *file != FilePath::new("-")) {
            check.folder_of(file, alerts.key("jsonl"));
        }
        ConfigErrors::unless_empty(check.problems, check.warnings)
    }
}

/// Stands in messages where a file and a line would: a path may come from the file, a variable or a flag.
const SOURCE: &str = "config";

struct Check {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Check {
    fn report(&mut self, path: Path, file: &FilePath, why: &str) {
        let message = format!("`{}` can't be used: {why}", file.display());
        self.problems.push(Problem::unplaced(SOURCE, path, message));
    }

    fn client(
        &mut self,
        basic: &Option<BasicAuth>,
        authorization: &Option<Authorization>,
        tls: &Option<TlsConfig>,
        path: &Path,
    ) {
        if let Some(basic) = basic {
            self.secret(basic.password_file.as_deref(), path.key("basic_auth").key("password_file"));
        }
        if let Some(authorization) = authorization {
            let file = authorization.credentials_file.as_deref();
            self.secret(file, path.key("authorization").key("credentials_file"));
        }
        if let Some(tls) = tls {
            let path = path.key("tls_config");
            self.pem(&tls.ca_file, path.key("ca_file"));
            self.pem(&tls.cert_file, path.key("cert_file"));
            self.pem(&tls.key_file, path.key("key_file"));
            if let Some(file) = &tls.key_file {
                self.warn_if_public(path.key("key_file"), file);
            }
        }
    }

    fn secret(&mut self, file: Option<&FilePath>, path: Path) {
        let Some(file) = file else { return };
        match Secret::from_file(file) {
            Err(error) => self.report(path, file, &error.to_string()),
            Ok(_) => self.warn_if_public(path, file),
        }
    }

    fn warn_if_public(&mut self, path: Path, file: &FilePath) {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(file).is_ok_and(|about| about.permissions().mode() & 0o004 != 0) {
            let message = format!("every user of this machine can read `{}`: `chmod o-r` it", file.display());
            self.warnings.push(Problem::unplaced(SOURCE, path, message));
        }
    }

    fn pem(&mut self, file: &Option<PathBuf>, path: Path) {
        let Some(file) = file else { return };
        match read_start(file) {
            Ok(text) if String::from_utf8_lossy(&text).contains("-----BEGIN ") => {}
            Ok(_) => self.report(path, file, "expected PEM text with a `-----BEGIN …-----` line"),
            Err(error) => self.report(path, file, &error.to_string()),
        }
    }

    fn folder_of(&mut self, file: &FilePath, path: Path) {
        let folder = match file.parent() {
            Some(folder) if folder != FilePath::new("") => folder,
            _ => FilePath::new("."),
        };
        if !folder.is_dir() {
            self.report(path, file, "its folder does not exist");
        }
    }
}

/// Bundles of certificates have a few hundred kilobytes, and PEM begins early.
fn read_start(file: &FilePath) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}
