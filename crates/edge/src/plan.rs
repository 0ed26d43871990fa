//! From a config to what is watched: pure, so that everything is known before anything starts.

use std::rc::Rc;
use std::time::Duration;

use larnax_alert::ring::RingOptions;
use larnax_collect::host::{CgroupPattern, HostOptions, HostSource, ProcessGroup};
use larnax_collect::scrape::{Gzip, ScrapeOptions, ScrapeSource};
use larnax_collect::{ErrorClass, Source, SourceError};
use larnax_core::component::ComponentIdError;
use larnax_core::schema::Direction;
use larnax_core::{Clock, Component, ComponentId, TopologyDelta};
use larnax_detect::{DetectorKind, Settings, ThresholdKind};
use larnax_http::Url;
use larnax_notify::client;
use larnax_spec::{
    AskPrometheus, Config, DetectionDirection, HostConfig, MetricRule, ScrapeConfig, ScrapeTarget,
};

use crate::keeper::store_name;
use crate::targets::Found;

/// How many redirects are followed where a job allows it, as Go's HTTP client does for Prometheus.
pub(crate) const MAX_REDIRECTS: usize = 10;

/// The label that names the component a target belongs to: targets with the same one are watched together, as one vector
/// of metrics, and the first of them leads.
const COMPONENT_LABEL: &str = "component";

/// What an agent watches.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The default time between samples.
    pub interval: Duration,
    /// Alerts that a group may give in [`Plan::alert_period`].
    pub alerts_allowed: f64,
    /// The period of the alert budget.
    pub alert_period: Duration,
    /// What is watched, each with a name of its own.
    pub components: Vec<ComponentPlan>,
    /// What the config says of who depends on whom.
    pub topology: TopologyDelta,
    /// What a person should know about it.
    pub notices: Vec<String>,
    /// Whether targets may be found later.
    pub discovers: bool,
}

/// How one component is watched.
#[derive(Clone, Debug)]
pub(crate) struct ComponentPlan {
    /// Its name, group and labels.
    pub component: Component,
    /// Time between samples.
    pub interval: Duration,
    /// Where its samples come from; the first one leads.
    pub sources: Vec<SourcePlan>,
    /// Select, rate, join, resample.
    pub pipeline: larnax_pipeline::Options,
    /// How it is judged.
    pub settings: Settings,
    /// Limits of its evidence.
    pub ring: RingOptions,
}

impl ComponentPlan {
    /// The name of its evidence folder.
    pub(crate) fn file_name(&self) -> String {
        store_name("", self.component.id.as_str()).trim_start_matches('/').replace('/', "~").replace(':', "+")
    }
}

/// A source that can be made, again if need be.
#[derive(Clone, Debug)]
pub(crate) enum SourcePlan {
    /// An endpoint.
    Scrape(Box<ScrapeOptions>),
    /// This machine.
    Host(Box<HostOptions>),
}

impl SourcePlan {
    /// A URL or `host`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Scrape(options) => options.url.to_string(),
            Self::Host(_) => "host".to_owned(),
        }
    }

    /// The same with the URL's query, in which there may be secrets.
    pub(crate) fn whole_name(&self) -> String {
        match self {
            Self::Scrape(options) => format!("{} {}", options.url, options.url.path_and_query()),
            Self::Host(_) => self.name(),
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// When the options can't be, or when there is nothing to read yet.
    pub(crate) fn build(&self, clock: &Rc<dyn Clock>) -> Result<Box<dyn Source>, SourceError> {
        Ok(match self {
            Self::Scrape(options) => Box::new(ScrapeSource::new((**options).clone(), Rc::clone(clock))?),
            Self::Host(options) => Box::new(HostSource::new((**options).clone(), Rc::clone(clock))?),
        })
    }
}

impl Plan {
    /// What `config` asks for on the machine `hostname`, with the targets that were found.
    ///
    /// # Errors
    /// A sentence about the first thing that can't be, for a config that was not checked.
    pub(crate) fn of(config: &Config, found: &Found, hostname: &str) -> Result<Self, String> {
        let (mut components, mut notices) = (Vec::<ComponentPlan>::new(), Vec::new());
        if let Some(host) = config.watched_host() {
            components.push(plan_host(config, &host, hostname).map_err(|error| format!("host: {error}"))?);
        }
        for job in &config.scrape_configs {
            let named = job.targets().map(|target| (target, true));
            let found = found.of_job(&job.job_name).flat_map(|group| job.targets_of(group));
            for (target, named) in named.chain(found.map(|target| (target, false))) {
                let planned = match plan_target(config, job, &target) {
                    Ok(planned) => planned,
                    Err(error) if named => return Err(format!("job {}: {error}", job.job_name)),
                    Err(error) => {
                        let target = target.instance;
                        notices.push(format!(
                            "job {}: {target} was found and is left out: {error}",
                            job.job_name
                        ));
                        continue;
                    }
                };
                match components.iter_mut().find(|known| known.component.id == planned.component.id) {
                    Some(known) if target.label(COMPONENT_LABEL).is_some() => {
                        known.sources.extend(planned.sources);
                        known.pipeline.rules.extend(planned.pipeline.rules);
                    }
                    Some(known) => {
                        notices.push(format!("{} is named twice; it is watched once", known.component.id));
                    }
                    None => components.push(planned),
                }
            }
            if let Some(asked) = &job.prometheus {
                let failed = |error| format!("job {}: prometheus: {error}", job.job_name);
                let planned = plan_prometheus(config, job, asked).map_err(failed)?;
                // Several jobs may ask the same one.
                if components.iter().all(|known| known.component.id != planned.component.id) {
                    components.push(planned);
                }
            }
        }
        let budget = config.detect.alert_budget;
        let mut plan = Self {
            interval: config.interval.0,
            alerts_allowed: f64::from(budget.alerts),
            alert_period: budget.span(),
            components,
            topology: config.topology.delta(hostname),
            notices,
            discovers: config.scrape_configs.iter().any(ScrapeConfig::discovers),
        };
        plan.refuse_above(config.limits.max_components);
        Ok(plan)
    }

    fn refuse_above(&mut self, most: usize) {
        if self.components.len() > most {
            self.notices.push(format!(
                "{} components are more than limits.max_components ({most}): the last {} are not watched",
                self.components.len(),
                self.components.len() - most
            ));
            self.components.truncate(most);
        }
    }
}

fn plan_host(config: &Config, host: &HostConfig, hostname: &str) -> Result<ComponentPlan, SourceError> {
    let interval = host.interval.unwrap_or(config.interval).0;
    let labels = [("job", "host"), ("instance", hostname)];
    let options = HostOptions {
        proc: host.proc.clone(),
        sys: host.sys.clone(),
        cgroups: host.cgroups.iter().map(|p| CgroupPattern::new(p.as_str())).collect::<Result<_, _>>()?,
        processes: host
            .processes
            .iter()
            .map(|(name, pattern)| {
                let regex = regex_lite::Regex::new(&format!("^(?:{})$", pattern.as_str()));
                let failed =
                    |error| SourceError::new(ErrorClass::Config, format!("processes.{name}: {error}"));
                Ok(ProcessGroup { name: name.clone(), pattern: regex.map_err(failed)? })
            })
            .collect::<Result<_, SourceError>>()?,
        ..HostOptions::default()
    };
    let mut pipeline = pipeline(config, &host.metric_rules, interval)?;
    pipeline.include.extend(patterns(&host.include)?);
    pipeline.exclude.extend(patterns(&host.exclude)?);
    Ok(ComponentPlan {
        component: component("node", "local", hostname, "host", &labels),
        interval,
        sources: vec![SourcePlan::Host(Box::new(options))],
        pipeline,
        settings: settings(config, interval),
        ring: ring(config),
    })
}

fn plan_target(
    config: &Config,
    job: &ScrapeConfig,
    target: &ScrapeTarget<'_>,
) -> Result<ComponentPlan, SourceError> {
    if let Some(asked) = job.prometheus.as_ref().filter(|_| target.url.is_empty()) {
        let problem = format!("it has no label `{}`, by which the Prometheus knows it", asked.by);
        return Err(SourceError::new(ErrorClass::Config, problem));
    }
    let interval = config.scrape_interval(job);
    let options = ScrapeOptions { federated: job.prometheus.is_some(), ..options(config, job, &target.url)? };
    let mut labels = vec![("job", job.job_name.as_str()), ("instance", target.instance)];
    labels.extend(target.labels().filter(|(name, _)| *name != COMPONENT_LABEL));
    let mut component = component("service", &job.job_name, target.instance, &job.job_name, &labels);
    if let Some(named) = target.label(COMPONENT_LABEL) {
        let failed = |error: ComponentIdError| {
            SourceError::new(ErrorClass::Config, format!("label component: {error}"))
        };
        component.id = named.parse().map_err(failed)?;
    }
    Ok(ComponentPlan {
        component,
        interval,
        sources: vec![SourcePlan::Scrape(Box::new(options))],
        pipeline: pipeline(config, &job.metric_rules, interval)?,
        settings: settings(config, interval),
        ring: ring(config),
    })
}

/// How a page is asked for as a job says.
fn options(config: &Config, job: &ScrapeConfig, url: &str) -> Result<ScrapeOptions, SourceError> {
    let url = Url::parse(url).map_err(|e| SourceError::new(ErrorClass::Config, e.to_string()))?;
    let defaults = ScrapeOptions::new(url, config.scrape_interval(job));
    Ok(ScrapeOptions {
        timeout: config.scrape_timeout(job),
        auth: client::auth(job.auth()),
        tls: client::tls(job.tls_config.as_ref()),
        body_size_limit: config.body_size(job),
        // As in Prometheus, 0 sets no limit of its own; the component's limit stays.
        sample_limit: match job.sample_limit {
            0 => defaults.sample_limit,
            limit => limit as usize,
        },
        gzip: if job.enable_compression { Gzip::Auto } else { Gzip::Never },
        max_redirects: if job.follow_redirects { MAX_REDIRECTS } else { 0 },
        ..defaults
    })
}

/// The Prometheus that a job asks: while it is away, that is told of it, and nothing of its targets. Of its own metrics those of its
/// process are watched; the others are about what it scrapes, which is watched anyway.
fn plan_prometheus(
    config: &Config,
    job: &ScrapeConfig,
    asked: &AskPrometheus,
) -> Result<ComponentPlan, SourceError> {
    let interval = config.scrape_interval(job);
    let address = asked.url.as_ref().map_or("", |url| url.authority());
    let labels = [("job", "prometheus"), ("instance", address)];
    let mut component = component("service", "prometheus", address, "prometheus", &labels);
    if let Some(name) = &asked.component {
        component.id = name.0.clone();
    }
    let own = larnax_pipeline::Pattern::new("process_.*")
        .map_err(|error| SourceError::new(ErrorClass::Config, error.to_string()))?;
    let pipeline = pipeline(config, &[], interval)?;
    Ok(ComponentPlan {
        component,
        interval,
        sources: vec![SourcePlan::Scrape(Box::new(options(config, job, &asked.page("/metrics"))?))],
        pipeline: larnax_pipeline::Options { include: vec![own], exclude: Vec::new(), ..pipeline },
        settings: settings(config, interval),
        ring: ring(config),
    })
}

fn component(kind: &str, scope: &str, name: &str, group: &str, labels: &[(&str, &str)]) -> Component {
    Component {
        id: ComponentId::from_parts(kind, scope, name),
        group: group.to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// `own` are the rules of the job or the host, for the one source that there is so far.
fn pipeline(
    config: &Config,
    own: &[MetricRule],
    interval: Duration,
) -> Result<larnax_pipeline::Options, SourceError> {
    Ok(larnax_pipeline::Options {
        include: patterns(&config.metrics.include)?,
        exclude: patterns(&config.metrics.exclude)?,
        rules: vec![own.iter().chain(&config.metrics.rules).map(rule).collect::<Result<_, _>>()?],
        interval: Some(interval),
        resample: config.metrics.resample.map(|period| period.0),
        max_metrics: config.limits.max_metrics_per_component,
        ..larnax_pipeline::Options::default()
    })
}

fn patterns(config: &[larnax_spec::Pattern]) -> Result<Vec<larnax_pipeline::Pattern>, SourceError> {
    config.iter().map(pattern).collect()
}

fn pattern(config: &larnax_spec::Pattern) -> Result<larnax_pipeline::Pattern, SourceError> {
    larnax_pipeline::Pattern::new(config.as_str())
        .map_err(|error| SourceError::new(ErrorClass::Config, error.to_string()))
}

fn rule(config: &MetricRule) -> Result<larnax_pipeline::Rule, SourceError> {
    let nameless = || SourceError::new(ErrorClass::Config, "a rule of metrics says no `match`");
    Ok(larnax_pipeline::Rule {
        pattern: pattern(config.pattern.as_ref().ok_or_else(nameless)?)?,
        least: config.min_dev_from_expected,
        direction: config.detection_direction.map(|direction| match direction {
            DetectionDirection::Both => Direction::Both,
            DetectionDirection::AboveExpected => Direction::Above,
            DetectionDirection::BelowExpected => Direction::Below,
        }),
        range: config.data_range.map(|range| (range.low(), range.high())),
    })
}

fn settings(config: &Config, interval: Duration) -> Settings {
    let detect = &config.detect;
    Settings {
        detector: match detect.detector {
            larnax_spec::Detector::Birch => DetectorKind::Birch,
            larnax_spec::Detector::Auto => DetectorKind::Auto,
            larnax_spec::Detector::Arima => DetectorKind::Arima,
            larnax_spec::Detector::ArimaOgd => DetectorKind::ArimaOgd,
            larnax_spec::Detector::ArimaOns => DetectorKind::ArimaOns,
            larnax_spec::Detector::Pca => DetectorKind::Pca,
            larnax_spec::Detector::Lstm => DetectorKind::Lstm,
        },
        threshold: match detect.threshold {
            larnax_spec::Threshold::Moving => ThresholdKind::Moving,
            larnax_spec::Threshold::Window => ThresholdKind::Window,
            larnax_spec::Threshold::Spot => ThresholdKind::Spot,
            larnax_spec::Threshold::Conformal => ThresholdKind::Conformal,
        },
        interval: Some(interval),
        warm_up: detect.warm_up.0,
        open_after: detect.open_after.0,
        close_after: detect.close_after.0,
        adopt_after: detect.adopt_after.0,
        cpu_budget: detect.cpu_budget.map(|budget| budget.0),
        ..Settings::default()
    }
}

fn ring(config: &Config) -> RingOptions {
    RingOptions { max_bytes: config.evidence.max_bytes.0, ..RingOptions::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(yaml: &str) -> Plan {
        let (config, _) = Config::from_yaml(yaml, "test").unwrap();
        Plan::of(&config, &Found::default(), "edge-1").unwrap()
    }

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.components.iter().map(|planned| planned.component.id.as_str()).collect()
    }

    #[test]
    fn targets_that_name_the_same_component_are_watched_together() {
        let plan = plan(
            "host: true\nscrape_configs:\n- {job_name: a, static_configs: [{targets: ['10.0.0.7:1', '10.0.0.8:1'], \
             labels: {component: service/shop/orders, site: ghent}}]}\n- {job_name: b, static_configs: \
             [{targets: ['10.0.0.9:1'], labels: {component: node/local/edge-1}}]}",
        );
        assert_eq!(ids(&plan), ["node/local/edge-1", "service/shop/orders"]);
        assert_eq!([plan.components[0].sources.len(), plan.components[1].sources.len()], [2, 2]);
        assert!(!plan.components[1].component.labels.contains_key("component"));
    }

    #[test]
    fn a_prometheus_that_is_asked_is_watched_once_and_each_of_its_targets_by_a_question_of_its_own() {
        let plan = plan(
            "scrape_configs:\n- {job_name: a, prometheus: {url: 'http://p:9090'}, static_configs: [{targets: ['a:1', 'b:1']}]}\n\
             - {job_name: b, prometheus: {url: 'http://p:9090', by: pod}, static_configs: [{targets: ['c:1'], labels: {pod: c}}]}",
        );
        assert_eq!(
            ids(&plan),
            ["service/a/a:1", "service/a/b:1", "service/prometheus/p:9090", "service/b/c:1"]
        );
        let asked: Vec<String> = plan.components.iter().map(|one| one.sources[0].whole_name()).collect();
        assert_eq!(asked[0], "http://p:9090/federate?… /federate?match%5B%5D=%7Binstance%3D%22a%3A1%22%7D");
        assert!(asked[1] != asked[0] && asked[3].contains("%7Bpod%3D%22c%22%7D"), "{asked:?}");
        assert_eq!(asked[2], "http://p:9090/metrics /metrics");
        assert_eq!(plan.components[2].pipeline.include[0].as_str(), "process_.*");
    }

    #[test]
    fn a_component_label_that_is_no_id_says_what_was_expected() {
        let yaml = "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1'], labels: {component: orders}}]}]";
        let (config, _) = Config::from_yaml(yaml, "test").unwrap();
        let error = Plan::of(&config, &Found::default(), "edge-1").unwrap_err();
        assert!(
            error.contains("job a") && error.contains("`orders`") && error.contains("kind/scope/name"),
            "{error}"
        );
    }

    #[test]
    fn the_host_and_each_target_are_components_with_the_group_of_their_job() {
        let plan = plan(
            "host: true\nscrape_configs: [{job_name: shop, scrape_interval: 2s, static_configs: \
             [{targets: ['10.0.0.7:1', '10.0.0.8:1'], labels: {site: ghent}}]}]",
        );
        assert_eq!(ids(&plan), ["node/local/edge-1", "service/shop/10.0.0.7:1", "service/shop/10.0.0.8:1"]);
        let groups: Vec<&str> =
            plan.components.iter().map(|planned| planned.component.group.as_str()).collect();
        assert_eq!(groups, ["host", "shop", "shop"]);
        let target = &plan.components[1];
        assert_eq!(
            (target.interval, target.settings.interval),
            (Duration::from_secs(2), Some(target.interval))
        );
        let labels: Vec<(&str, &str)> =
            target.component.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("instance", "10.0.0.7:1"), ("job", "shop"), ("site", "ghent")]);
        assert!(plan.notices.is_empty());
    }

    #[test]
    fn one_name_is_watched_once_and_what_is_above_the_limit_not_at_all_and_both_are_said() {
        let plan = plan(
            "limits: {max_components: 2}\nscrape_configs:\n\
             - {job_name: shop, static_configs: [{targets: ['a:1', 'b:1', 'c:1']}]}\n\
             - {job_name: 'shop ', metrics_path: /one, static_configs: [{targets: ['d:1']}]}\n\
             - {job_name: shop_, metrics_path: /two, static_configs: [{targets: ['d:1']}]}\n",
        );
        assert_eq!(ids(&plan), ["service/shop/a:1", "service/shop/b:1"]);
        let notices = plan.notices.join("\n");
        assert!(notices.contains("service/shop_/d:1 is named twice"), "{notices}");
        assert!(
            notices.contains("4 components are more than limits.max_components (2): the last 2"),
            "{notices}"
        );
    }

    #[test]
    fn rules_of_the_job_and_the_host_come_before_those_of_all_and_each_source_keeps_its_own() {
        let plan = plan(
            "metrics: {rules: [{match: all, detection_direction: below_expected, data_range: [0, inf]}]}\n\
             host: {metric_rules: [{match: cpu, min_dev_from_expected: 0.5}]}\nscrape_configs:\n\
             - {job_name: a, static_configs: [{targets: ['a:1'], labels: {component: node/local/edge-1}}], \
             metric_rules: [{match: b, detection_direction: above_expected}]}\n\
             - {job_name: c, static_configs: [{targets: ['c:1']}]}",
        );
        let names = |component: usize| -> Vec<Vec<&str>> {
            let rules = plan.components[component].pipeline.rules.iter();
            rules.map(|rules| rules.iter().map(|rule| rule.pattern.as_str()).collect()).collect()
        };
        assert_eq!(names(0), [["cpu", "all"], ["b", "all"]]);
        assert_eq!(names(1), [["all"]]);
        let rules = &plan.components[0].pipeline.rules;
        assert_eq!((rules[0][0].least, rules[0][0].direction, rules[0][0].range), (Some(0.5), None, None));
        assert_eq!(rules[1][0].direction, Some(Direction::Above));
        let all = &plan.components[1].pipeline.rules[0][0];
        assert_eq!((all.direction, all.range), (Some(Direction::Below), Some((0.0, f64::INFINITY))));
    }

    #[test]
    fn how_a_component_is_judged_is_the_config_s_word() {
        let plan = plan(
            "host: true\nmetrics: {exclude: ['a.*']}\n\
             detect: {detector: birch, warm_up: 1m, open_after: 2s, close_after: 3s, adopt_after: 1h, alert_budget: 3/day, \
             cpu_budget: 50us}",
        );
        let settings = &plan.components[0].settings;
        let seconds = [settings.warm_up, settings.open_after, settings.close_after, settings.adopt_after];
        assert_eq!(seconds.map(|d| d.as_secs()), [60, 2, 3, 3600]);
        assert_eq!(settings.cpu_budget, Some(Duration::from_micros(50)));
        assert_eq!((plan.alerts_allowed, plan.alert_period), (3.0, Duration::from_secs(86_400)));
        assert_eq!(plan.components[0].pipeline.exclude[0].as_str(), "a.*");
    }
}
