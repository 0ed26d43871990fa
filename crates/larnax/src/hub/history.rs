//! `larnax hub backup|restore|check`.

use std::process::ExitCode;

use larnax_store::{Existing, Location};

use super::args::HubCommand;
use crate::output;

pub(super) fn run(command: HubCommand, location: &Location) -> anyhow::Result<ExitCode> {
    let done = match command {
        HubCommand::Backup { file } => {
            let mut bytes = 0;
            larnax_store::backup(location, &file, &mut |_, all| bytes = all)?;
            format!("{} is a backup of {location}: {:.1} MiB, whole.\n", file.display(), mib(bytes))
        }
        HubCommand::Restore { file, replace } => {
            let existing = if replace { Existing::SetAside } else { Existing::Refuse };
            larnax_store::restore(&file, location, existing)?;
            format!("{location} holds what {} did. Its log begins a new epoch.\n", file.display())
        }
        HubCommand::Check => {
            larnax_store::check(location)?;
            match location {
                Location::File(_) => format!("{location} is whole.\n"),
                Location::Postgres(_) => {
                    format!("{location} can be used; PostgreSQL looks after its files itself.\n")
                }
            }
        }
    };
    output::write(done.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
