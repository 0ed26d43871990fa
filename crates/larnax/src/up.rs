//! `larnax up`: everything on this machine, with a page.

use std::io::Write;
use std::process::ExitCode;

use larnax_edge::{Extras, Started};

use crate::cli::UpArgs;
use crate::{hub, pages};

pub(crate) fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let extras = Extras {
        pages: Some(pages::page),
        keep_history: true,
        watch_host: true,
        look: true,
        discover: args.discover,
        started: Some(greet),
        hub: Some(|config, identity, state, clock| {
            Box::pin(async move {
                let made = hub::beside(config, identity, &state, clock).await;
                made.map_err(|error| format!("the hub can't start: {error:#}"))
            })
        }),
    };
    larnax_edge::run(args.agent, extras)?;
    Ok(ExitCode::SUCCESS)
}

fn greet(started: &Started) {
    let mut greeting = format!(
        "Larnax watches {} on this machine and says nothing until something is wrong.\n\
         \n  Page    http://{}/\n  Status  larnax status\n  State   {}\n\n\
         Bands show within a minute and are provisional until it has warmed up. Ctrl-C ends it.\n\n",
        if started.components == 1 {
            "one component".to_owned()
        } else {
            format!("{} components", started.components)
        },
        started.listen,
        started.state.display(),
    );
    if !started.unwatched.is_empty() {
        greeting += &format!(
            "Not watched, but listening here: {}.\n--discover asks them for metrics; --scrape URL watches one.\n\n",
            started.unwatched.join(", ")
        );
    }
    // Not `eprintln!`: whoever reads this may be gone, as in `larnax 2>&1 | head`, and that must not end the agent.
    let _ = std::io::stderr().write_all(greeting.as_bytes());
}
