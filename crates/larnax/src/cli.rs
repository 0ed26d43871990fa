//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use larnax_detect::DetectorKind;
use larnax_edge::AgentArgs;

use crate::demo::DemoArgs;
use crate::diagnose::DiagnoseArgs;
use crate::evaluate::EvaluateArgs;
use crate::hub::args::HubArgs;
use crate::inject::{INJECT_HELP, InjectArgs};
#[cfg(feature = "kubernetes")]
use crate::operator::OperatorArgs;
use crate::plans::PlansArgs;
use crate::shop::{SHOP_HELP, ShopArgs};

/// Exit code of a command that could not do what it was asked. 0 is success, 2 a command line that is no command.
pub(crate) const FAILED: u8 = 1;
/// Exit code of `status` when anomalies are open, of `check` when the config has errors, and of `agents` when there is none.
pub(crate) const FOUND: u8 = 3;

const EXAMPLES: &str = "\
Examples:
  larnax                                          watch this machine; the page is at http://127.0.0.1:7676
  larnax --scrape http://127.0.0.1:9100/metrics   and a Prometheus endpoint
  larnax up --alertmanager http://127.0.0.1:9093  and tell Alertmanager
  larnax status                                   what is watched, and what is wrong
  larnax explain node/local/$(hostname)           why it did or didn't alert
  larnax detect metrics.csv                       the same detection on a file
  larnax diagnose --metrics incident.csv          where an incident began

Exit codes: 0 done, 1 failed, 2 not a command, 3 anomalies are open (status) or the config has errors (check).
Environment: LARNAX_LOG=error|warn|info|debug, and see `larnax check --help` for overrides of the config.";

/// Watches metrics where they arise, learns what is normal, and speaks only when something isn't.
#[derive(Debug, Parser)]
#[command(name = "larnax", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) up: UpArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch this machine (the default), with a page
    #[command(after_help = UP_HELP)]
    Up(UpArgs),
    /// The same agent without the page, and without this machine unless `--host` is given
    #[command(after_help = EDGE_HELP)]
    Edge(AgentArgs),
    /// Judge each row of CSV files by the rows before it
    Detect(DetectArgs),
    /// Where an incident began: ranks components by what they did
    Diagnose(DiagnoseArgs),
    /// How well labelled data sets are judged: accuracy, alerts as shipped, cost
    Evaluate(EvaluateArgs),
    /// What a running agent watches, and what is wrong
    #[command(after_help = STATUS_HELP)]
    Status(AskArgs),
    /// What belongs together, and where it began
    #[command(after_help = INCIDENTS_HELP)]
    Incidents(IncidentsArgs),
    /// What is to be done about incidents: approve it, take it back, see what came of it
    Plans(PlansArgs),
    /// Take what edges tell, build incidents, and say where they began
    Hub(HubArgs),
    /// Which agents are connected to a hub, and what they watch
    #[command(after_help = AGENTS_HELP)]
    Agents(AskArgs),
    /// Tell the agents of a Kubernetes cluster's nodes which pods they scrape
    #[cfg(feature = "kubernetes")]
    Operator(OperatorArgs),
    /// Why a component did or didn't alert
    Explain(ExplainArgs),
    /// Check a config file and print what it means
    Check(CheckArgs),
    /// What agents have learnt: list, carry to another machine, join, take back
    #[command(after_help = MODELS_HELP)]
    Models(ModelsArgs),
    /// See the loop close: something breaks, is found, mended, verified and learnt
    Demo(DemoArgs),
    /// A small shop of four services to watch and to break
    #[command(after_help = SHOP_HELP)]
    Shop(ShopArgs),
    /// Break something in the shop, for a time and within bounds
    #[command(after_help = INJECT_HELP)]
    Inject(InjectArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  larnax completions bash > ~/.local/share/bash-completion/completions/larnax"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
    /// Ask local HTTP listeners for /metrics, and watch those that have any
    #[arg(long)]
    pub(crate) discover: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
    /// For people and programs
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Where the agent or the hub answers
    #[arg(long, default_value = "http://127.0.0.1:7676", value_name = "URL", global = true)]
    pub(crate) url: String,
    /// A file with its token, where it wants one
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of the authorities that its certificate may be from, instead of the public ones
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca_file: Option<PathBuf>,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    #[command(subcommand)]
    pub(crate) command: IncidentsCommand,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsCommand {
    /// The latest incidents; the exit code is 3 when one is open
    List {
        /// Only those that have not ended
        #[arg(long)]
        open: bool,
        /// At most so many
        #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One incident with its ranked causes
    Show {
        /// Which; may be left out for the latest
        id: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub(crate) struct ExplainArgs {
    /// Which component, as `larnax status` names it; may be left out when there is only one
    pub(crate) component: Option<String>,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Debug, Args)]
#[command(after_help = check_help())]
pub(crate) struct CheckArgs {
    /// The config file
    #[arg(default_value = "larnax.yaml")]
    pub(crate) config: PathBuf,
    /// How the meaning is printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
    /// The folder of an agent's state [default: that of `larnax up`]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// How the list is printed
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// What is stored
    List,
    /// Write one model to a file: a snapshot, or a warm start for another machine
    Export {
        /// As `larnax models list` names it
        name: String,
        /// Where it goes
        file: PathBuf,
    },
    /// Take a model from a file; its agent must not run
    Import {
        /// What was exported or merged
        file: PathBuf,
        /// Under which name
        name: String,
    },
    /// Go back to the version before the newest one; its agent must not run
    Rollback {
        /// As `larnax models list` names it
        name: String,
    },
    /// Join what several agents learnt about the same kind of component; no sample is needed or kept
    Merge {
        /// Exported models, or files of a state folder
        #[arg(required = true, num_args = 2.., value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where the joined model goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

const MODELS_HELP: &str = "\
Examples:
  larnax models list
  larnax models export component/node/local/edge-17 edge-17.model
  larnax models merge edge-17.model edge-18.model --out nodes.model
  larnax models import nodes.model component/node/local/edge-19 --state /var/lib/larnax
  larnax models rollback component/node/local/edge-17";

const UP_HELP: &str = "\
Examples:
  larnax up --discover
  larnax up --scrape http://127.0.0.1:9100/metrics --alertmanager http://127.0.0.1:9093
  larnax up --listen :0 --state /tmp/larnax";

const EDGE_HELP: &str = "\
Examples:
  larnax edge --scrape http://127.0.0.1:9100/metrics --alertmanager http://127.0.0.1:9093
  larnax edge --host --interval 1s --state /var/lib/larnax
  larnax edge --config /etc/larnax/larnax.yaml";

const STATUS_HELP: &str = "\
Examples:
  larnax status
  larnax status -o json --url http://127.0.0.1:7677
  larnax status --url https://edge-17.example.org --token-file /run/secrets/token";

const INCIDENTS_HELP: &str = "\
Examples:
  larnax incidents list
  larnax incidents show
  larnax incidents show 1f0c2a9e5b7d4c33 -o json
  larnax incidents list --open --url https://hub.example.org:7677 --token-file /run/secrets/token";

const AGENTS_HELP: &str = "\
Examples:
  larnax agents
  larnax agents --url https://hub.example.org:7677 --token-file /run/secrets/token --ca-file hub-ca.pem
  larnax agents -o json

Exit codes: 0 there is one at least, 1 failed, 3 none is connected.";

const EXPLAIN_HELP: &str = "\
Examples:
  larnax explain
  larnax explain node/local/edge-17
  larnax explain service/shop/10.0.0.7:9100 -o yaml";

/// Examples, and the variables that override the file.
fn check_help() -> String {
    let mut text = "Examples:\n  larnax check\n  larnax check /etc/larnax/larnax.yaml -o yaml\n".to_owned();
    text += "\nThese environment variables override the file:\n";
    for variable in larnax_spec::env::VARIABLES.iter().filter(|variable| variable.field.is_some()) {
        text += &format!("  {:<24} {}\n", variable.name, variable.doc);
    }
    text
}

const DETECT_HELP: &str = "\
Each row's score depends only on the rows before it and itself: at most 1 is normal. The first column that holds times
is the time (RFC 3339, epoch in s, ms, us or ns, or 2006-01-02 15:04:05); every other column is a metric, except `label`
and `is_anomaly`. Files may be compressed (gz, zst); `-` is standard input.

--scores writes timestamp,score,anomalous,alert,warmup,top_metrics: one row per input row in the same order, with the
timestamp as it was. A row that can't be used has an empty score. The summary of one file by one detector is an object in
JSON, that of several is a list.

--train learns a file first and says nothing about it. --save writes what was learnt to a file, --load goes on from it; the
alert budget starts anew. A file that does not begin after what was learnt is judged as if it began right after it (files
with times: a whole number of days later).

--labels compares with what is known: a column of 0 and 1, or a file with a 0 or 1 for each row or a `start,end` for each
event. What is caught and what is false is counted as in `larnax evaluate`: an anomaly or alert is about the rows from its
onset to the one at which it was told.

--budget is for `auto`, which can do with less: it no longer compares metrics with each other, then judges fewer rows. It
goes by a model of the cost, so that results are the same on every machine, and says what it leaves out.

--plot draws the metrics that matter most with their expected bands, the anomalies, and the score.

Examples:
  larnax detect metrics.csv
  larnax detect metrics.csv.gz --scores scores.csv -o json
  larnax detect values.csv --step 5s
  larnax detect test.csv --train train.csv --labels test_label.txt --plot test.svg
  larnax detect wide.csv --detector auto --budget 20us
  larnax detect monday.csv --save node.state && larnax detect tuesday.csv --load node.state --save node.state";

#[derive(Debug, Args)]
#[command(after_help = DETECT_HELP)]
pub(crate) struct DetectArgs {
    /// CSV files, one metric per column
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Which detectors judge, separated by commas: each on its own, side by side in the summary
    #[arg(long, default_value = DetectorKind::default().as_str(), value_name = "LIST", value_delimiter = ',')]
    pub(crate) detector: Vec<DetectorKind>,
    /// CPU that `auto` may take for a row, on average, such as `50us` [default: what it needs]
    #[arg(long, value_name = "DURATION", value_parser = larnax_edge::duration)]
    pub(crate) budget: Option<Duration>,
    /// A file that is learnt first
    #[arg(long, value_name = "FILE")]
    pub(crate) train: Option<PathBuf>,
    /// What was learnt before, as `--save` wrote it: a file, or a folder when there are several detectors
    #[arg(long, value_name = "STATE")]
    pub(crate) load: Option<PathBuf>,
    /// Where to write what was learnt: a file, or a folder when there are several detectors
    #[arg(long, value_name = "STATE")]
    pub(crate) save: Option<PathBuf>,
    /// What is known to be anomalous: a file, or the name of a column
    #[arg(long, value_name = "FILE|COLUMN")]
    pub(crate) labels: Option<PathBuf>,
    /// A picture of it: a file, or a folder when there are several input files or detectors
    #[arg(long, value_name = "OUT.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Where the scores go: a file, `-` for standard output, or a folder when there are several input files or detectors
    #[arg(long, value_name = "OUT.csv")]
    pub(crate) scores: Option<PathBuf>,
    /// Time between rows of files that have no time
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = larnax_edge::duration)]
    pub(crate) step: Duration,
    /// How the summary is printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

impl DetectArgs {
    /// The file of labels, if it is one.
    pub(crate) fn labels_file(&self) -> Option<&Path> {
        self.labels.as_deref().filter(|labels| labels.is_file())
    }

    /// The column of labels, if there is no such file.
    pub(crate) fn labels_column(&self) -> Option<&str> {
        self.labels.as_deref().filter(|labels| !labels.is_file()).and_then(Path::to_str)
    }
}

/// Refuses a budget of nothing.
pub(crate) fn check_budget(budget: Option<Duration>) -> anyhow::Result<()> {
    if budget.is_some_and(|budget| budget.is_zero()) {
        anyhow::bail!("--budget: found 0, expected a longer time such as `50us`");
    }
    Ok(())
}

pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator panics where it can't write, as in `larnax completions bash | head`.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "larnax", &mut script);
    crate::output::write(&script)?;
    Ok(ExitCode::SUCCESS)
}
