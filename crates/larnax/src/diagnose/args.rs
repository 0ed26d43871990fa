//! The command line of `larnax diagnose`.

use std::path::PathBuf;

use clap::Args;
use larnax_collect::files::parse_time;
use larnax_core::Timestamp;

use crate::cli::Output;

const HELP: &str = "\
The columns of a CSV are `component/metric`: a whole id and a metric as in `service/shop/orders/cpu/busy`, or a bare name and a
metric as in `orders/cpu`, which is service/local/orders. Where the graph knows a component, its name may have more slashes. The
time is found as `larnax detect` finds it. What two components call by the same name is compared.

Without --onset it is found, or with --normal all of --metrics is the incident. An onset may be told late: an earlier beginning
is looked for.

The graph is JSON: {\"edges\": [{\"from\": \"api\", \"to\": \"orders\", \"kind\": \"calls\"}]}; `from` depends on `to`, `kind` is
calls (the default) or runs_on. Changes are a list in JSON: [{\"time\": \"2026-11-21T18:20:00Z\", \"component\": \"orders\",
\"kind\": \"deploy\", \"text\": \"v2.3.1\"}]; `kind` is deploy, config or scale.

Components are ranked by what they did out of the ordinary, and the first is named as the cause if that is clear enough: of what
is named with a confidence of .8, about four fifths were right on public data.

Examples:
  larnax diagnose --metrics incident.csv
  larnax diagnose --metrics incident.csv --graph graph.json --onset 2026-11-21T18:21:12Z
  larnax diagnose --metrics incident.csv.gz --normal yesterday.csv.gz --graph graph.json --alerting api -o json";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct DiagnoseArgs {
    /// What the components did, before the incident and during it
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) metrics: PathBuf,
    /// What they do when all is well, if that is a file of its own
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) normal: Option<PathBuf>,
    /// Who depends on whom
    #[arg(long, value_name = "FILE.json")]
    pub(crate) graph: Option<PathBuf>,
    /// What was changed on purpose
    #[arg(long, value_name = "FILE.json")]
    pub(crate) changes: Option<PathBuf>,
    /// Since when something is wrong, in RFC 3339 or since the epoch
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) onset: Option<Timestamp>,
    /// Who alerted
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) alerting: Option<String>,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

fn time(text: &str) -> Result<Timestamp, String> {
    parse_time(text).ok_or_else(|| {
        "expected a time such as 2026-11-21T18:21:12Z, or seconds, milliseconds, microseconds or nanoseconds since the epoch"
            .to_owned()
    })
}
