//! What a Prometheus config may say that Larnax doesn't do (yet).
//!
//! A field that would change which targets or metrics are watched, or how they are reached, is an error that says what
//! it would do and what to do instead. A field without such an effect is passed over with a warning. Either way it is
//! taken out of the tree, so that what remains unknown is a misspelt field. Fields as of Prometheus 3.

use crate::path::Path;
use crate::yaml::{Content, Located, Node};

/// What a field would do, and what to do instead.
enum Verdict {
    Unsupported(&'static str),
    Ignored(&'static str),
}
use Verdict::{Ignored, Unsupported};

type Table = [(&'static str, Verdict)];

const DISCOVERY: &str = "it would find targets by itself; list them in static_configs, or have them found by file_sd_configs or \
     http_sd_configs";
const RELABEL: &str = "it would choose targets and rewrite their labels; leave out targets you don't want, and give \
                       labels in static_configs";
const SECRET_STORE: &str =
    "it would read a secret from a secret store; use the field that ends in _file instead";
const NATIVE: &str = "Larnax watches classic histograms only";
const ONE_PROTOCOL: &str =
    "Larnax reads the Prometheus text format and OpenMetrics and tells them apart by itself";
const LABEL_LIMITS: &str = "Larnax limits the length of a line and the number of series instead";
const OWN_LIMITS: &str = "Larnax has limits of its own: see `limits`";

const TOP: &Table = &[
    ("rule_files", Ignored("Larnax evaluates no rules; it learns what is normal instead")),
    ("remote_write", Ignored("Larnax sends on alerts, not samples")),
    ("remote_read", Ignored("Larnax reads no remote storage")),
    ("storage", Ignored("Larnax keeps its own ring of samples: see `evidence`")),
    ("tracing", Ignored("Larnax sends no traces")),
    ("otlp", Ignored("Larnax receives no OTLP")),
    ("runtime", Ignored("it is about Prometheus' own process")),
    (
        "scrape_config_files",
        Unsupported("it would read more jobs from other files; move them into scrape_configs"),
    ),
];

const GLOBAL: &Table = &[
    ("evaluation_interval", Ignored("Larnax evaluates no rules")),
    ("rule_query_offset", Ignored("Larnax evaluates no rules")),
    ("query_log_file", Ignored("Larnax answers no queries")),
    ("scrape_failure_log_file", Ignored("failures are in Larnax' own log")),
    ("scrape_protocols", Ignored(ONE_PROTOCOL)),
    ("scrape_native_histograms", Ignored(NATIVE)),
    ("always_scrape_classic_histograms", Ignored(NATIVE)),
    ("convert_classic_histograms_to_nhcb", Ignored(NATIVE)),
    ("metric_name_validation_scheme", Ignored("names are taken as they come")),
    ("metric_name_escaping_scheme", Ignored("names are taken as they come")),
    ("target_limit", Ignored(OWN_LIMITS)),
    ("label_limit", Ignored(LABEL_LIMITS)),
    ("label_name_length_limit", Ignored(LABEL_LIMITS)),
    ("label_value_length_limit", Ignored(LABEL_LIMITS)),
    ("keep_dropped_targets", Ignored("no target is dropped without relabelling")),
    ("extra_scrape_metrics", Ignored("Larnax has metrics of its own about scrapes")),
];

const JOB: &Table = &[
    ("relabel_configs", Unsupported(RELABEL)),
    (
        "metric_relabel_configs",
        Unsupported(
            "it would drop and rewrite metrics; choose them with `metrics.include` and `metrics.exclude`",
        ),
    ),
    ("bearer_token", Unsupported("use authorization with credentials instead")),
    ("bearer_token_file", Unsupported("use authorization with credentials_file instead")),
    ("honor_labels", Ignored("labels of a target's series stay as they are")),
    ("honor_timestamps", Ignored("samples are dated by the time of the scrape")),
    ("scrape_protocols", Ignored(ONE_PROTOCOL)),
    ("fallback_scrape_protocol", Ignored(ONE_PROTOCOL)),
    ("scrape_native_histograms", Ignored(NATIVE)),
    ("scrape_classic_histograms", Ignored(NATIVE)),
    ("always_scrape_classic_histograms", Ignored(NATIVE)),
    ("convert_classic_histograms_to_nhcb", Ignored(NATIVE)),
    ("native_histogram_bucket_limit", Ignored(NATIVE)),
    ("native_histogram_min_bucket_factor", Ignored(NATIVE)),
    ("track_timestamps_staleness", Ignored("Larnax sees by itself when a series ends")),
    ("scrape_failure_log_file", Ignored("failures are in Larnax' own log")),
    ("metric_name_validation_scheme", Ignored("names are taken as they come")),
    ("metric_name_escaping_scheme", Ignored("names are taken as they come")),
    ("target_limit", Ignored(OWN_LIMITS)),
    ("label_limit", Ignored(LABEL_LIMITS)),
    ("label_name_length_limit", Ignored(LABEL_LIMITS)),
    ("label_value_length_limit", Ignored(LABEL_LIMITS)),
    ("keep_dropped_targets", Ignored("no target is dropped without relabelling")),
    ("extra_scrape_metrics", Ignored("Larnax has metrics of its own about scrapes")),
];

/// Fields of every HTTP client: jobs, and the Alertmanagers of the `alerting` block.
const CLIENT: &Table = &[
    ("oauth2", Unsupported("it would fetch a token first; use authorization with credentials_file instead")),
    ("sigv4", Unsupported("it would sign requests for AWS; run a signing proxy and name it as the target")),
    ("proxy_url", Unsupported("it would go through a proxy; name an address that can be reached directly")),
    (
        "proxy_from_environment",
        Unsupported("it would go through a proxy; name an address that can be reached directly"),
    ),
    (
        "proxy_connect_header",
        Unsupported("it would send headers to a proxy, and proxies are not supported yet"),
    ),
    ("no_proxy", Ignored("no proxy is used")),
    (
        "http_headers",
        Unsupported("it would send more headers; use authorization or basic_auth where they are enough"),
    ),
    ("enable_http2", Ignored("Larnax speaks HTTP/1.1, which every target does")),
];

const BASIC_AUTH: &Table = &[
    (
        "username_file",
        Unsupported("it would read the user name from a file; use `username: ${NAME}` instead"),
    ),
    ("username_ref", Unsupported(SECRET_STORE)),
    ("password_ref", Unsupported(SECRET_STORE)),
];

const AUTHORIZATION: &Table = &[("credentials_ref", Unsupported(SECRET_STORE))];

const TLS: &Table = &[
    ("ca", Unsupported("put the certificate into a file and use ca_file")),
    ("cert", Unsupported("put the certificate into a file and use cert_file")),
    ("key", Unsupported("put the key into a file and use key_file")),
    ("ca_ref", Unsupported(SECRET_STORE)),
    ("cert_ref", Unsupported(SECRET_STORE)),
    ("key_ref", Unsupported(SECRET_STORE)),
    ("min_version", Ignored("TLS 1.2 and 1.3 are spoken, never less")),
    ("max_version", Ignored("TLS 1.2 and 1.3 are spoken")),
];

const ALERTING: &Table = &[(
    "alert_relabel_configs",
    Unsupported("it would rewrite the labels of alerts; use external_labels instead"),
)];

const ALERTMANAGER: &Table = &[
    ("relabel_configs", Unsupported("it would choose Alertmanagers; list those you want in static_configs")),
    (
        "alert_relabel_configs",
        Unsupported("it would rewrite the labels of alerts; use external_labels instead"),
    ),
    ("follow_redirects", Ignored("alerts go to the address that is given")),
];

/// Takes fields out that Prometheus knows and Larnax doesn't act on.
pub(crate) fn take_out_unsupported(root: &mut Node, errors: &mut Vec<Located>, ignored: &mut Vec<Located>) {
    let mut sieve = Sieve { errors, ignored };
    let path = Path::root();
    sieve.take(root, &path, TOP);
    if let Some(global) = root.get_mut("global") {
        sieve.take(global, &path.key("global"), GLOBAL);
    }
    if let Some(jobs) = root.get_mut("scrape_configs") {
        sieve.each(jobs, &path.key("scrape_configs"), JOB, &["file_sd_configs", "http_sd_configs"]);
    }
    if let Some(alerting) = root.get_mut("alerting") {
        let path = path.key("alerting");
        sieve.take(alerting, &path, ALERTING);
        if let Some(alertmanagers) = alerting.get_mut("alertmanagers") {
            let path = path.key("alertmanagers");
            sieve.each(alertmanagers, &path, ALERTMANAGER, &[]);
            sieve.api_versions(alertmanagers, &path);
        }
    }
}

struct Sieve<'a> {
    errors: &'a mut Vec<Located>,
    ignored: &'a mut Vec<Located>,
}

impl Sieve<'_> {
    /// A list of clients with fields of their own, and the discoveries that they support.
    fn each(&mut self, list: &mut Node, path: &Path, table: &Table, supported: &[&str]) {
        let Content::List(items) = &mut list.content else { return };
        for (index, item) in items.iter_mut().enumerate() {
            let path = path.index(index);
            self.take(item, &path, table);
            self.take(item, &path, CLIENT);
            self.discovery(item, &path, supported);
            for (name, table) in
                [("basic_auth", BASIC_AUTH), ("authorization", AUTHORIZATION), ("tls_config", TLS)]
            {
                if let Some(section) = item.get_mut(name) {
                    if name == "tls_config" {
                        self.tls_version(section, &path.key(name));
                    }
                    self.take(section, &path.key(name), table);
                }
            }
        }
    }

    fn take(&mut self, node: &mut Node, path: &Path, table: &Table) {
        let Content::Map(entries) = &mut node.content else { return };
        for entry in entries.iter_mut().filter(|entry| !entry.value.dropped) {
            let Some((name, verdict)) = table.iter().find(|(name, _)| *name == entry.key) else { continue };
            entry.value.dropped = true;
            let path = path.key(name);
            match verdict {
                // Given without a value, or with an empty list, it asks for nothing.
                _ if is_empty(&entry.value) => {}
                Unsupported(instead) => {
                    self.errors.push(Located::new(
                        path,
                        entry.key_at,
                        format!("not supported yet: {instead}"),
                    ));
                }
                Ignored(why) => {
                    self.ignored.push(Located::new(path, entry.key_at, format!("has no effect: {why}")))
                }
            }
        }
    }

    /// `kubernetes_sd_configs` and its many siblings.
    fn discovery(&mut self, node: &mut Node, path: &Path, supported: &[&str]) {
        let Content::Map(entries) = &mut node.content else { return };
        for entry in entries.iter_mut().filter(|entry| {
            entry.key.ends_with("_sd_configs")
                && !supported.contains(&entry.key.as_str())
                && !entry.value.dropped
        }) {
            entry.value.dropped = true;
            if !is_empty(&entry.value) {
                let message = format!("not supported yet: {DISCOVERY}");
                self.errors.push(Located::new(path.key(&entry.key), entry.key_at, message));
            }
        }
    }

    /// A floor above TLS 1.2 can't be kept yet, so it must not be passed over.
    fn tls_version(&mut self, tls: &mut Node, path: &Path) {
        let Some(version) = tls.get_mut("min_version") else { return };
        match &version.content {
            Content::Scalar { text, .. } if matches!(text.as_str(), "TLS10" | "TLS11" | "TLS12") => {}
            Content::Scalar { text, .. } if text == "TLS13" => {
                let message =
                    "not supported yet: it would refuse TLS 1.2; set the floor at the target instead";
                self.errors.push(Located::new(path.key("min_version"), version.at, message));
            }
            _ => {
                let message = "expected one of TLS10, TLS11, TLS12";
                self.errors.push(Located::new(path.key("min_version"), version.at, message));
            }
        }
    }

    /// `api_version` is v2, or not there.
    fn api_versions(&mut self, alertmanagers: &mut Node, path: &Path) {
        let Content::List(items) = &mut alertmanagers.content else { return };
        for (index, item) in items.iter_mut().enumerate() {
            let Some(version) = item.get_mut("api_version") else { continue };
            version.dropped = true;
            if !matches!(&version.content, Content::Scalar { text, .. } if text == "v2") {
                let message = "expected `v2`, the only API that Alertmanager has had since 0.27";
                self.errors.push(Located::new(path.index(index).key("api_version"), version.at, message));
            }
        }
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.content {
        Content::Null => true,
        Content::List(items) => items.is_empty(),
        Content::Map(entries) => entries.is_empty(),
        Content::Scalar { text, plain } => *plain && matches!(text.as_str(), "false"),
    }
}
