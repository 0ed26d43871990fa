//! Where a store is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// Where a store is. Shown, it never has a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// An SQLite database.
    File(PathBuf),
    /// A PostgreSQL server and database, as `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`.
    Postgres(String),
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(text.to_owned())),
            // The rest may hold a password, so it isn't shown.
            Some((scheme, _)) => Err(Error::Location(format!(
                "a store at `{}://…` is unknown: expected a file's path or postgres://…",
                scheme.chars().take(20).collect::<String>()
            ))),
            None if text.is_empty() => Err(Error::Location(
                "the store's place is empty: expected a file's path or postgres://…".to_owned(),
            )),
            None => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let (server, options) = rest.split_once('?').unwrap_or((rest, ""));
                if options.contains('@') {
                    // A password that should have been encoded: it can't be told where it ends.
                    return f.write_str("postgres://…");
                }
                write!(f, "postgres://{}", server.rsplit_once('@').map_or(server, |(_, server)| server))
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_file_and_a_postgres_url_is_a_server() {
        assert_eq!("hub.db".parse::<Location>().unwrap(), Location::File("hub.db".into()));
        let url = "postgresql://db/larnax";
        assert_eq!(url.parse::<Location>().unwrap(), Location::Postgres(url.to_owned()));
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in ["postgres://larnax:hun?ter2@db/hub", "postgres://db/hub?password=hun@ter2"] {
            assert_eq!(url.parse::<Location>().unwrap().to_string(), "postgres://…");
        }
        for url in [
            "postgres://larnax:hunter2@db:5432/hub?sslmode=require",
            "postgres://larnax:hun@ter2@db:5432/hub",
            "postgres://db:5432/hub?user=larnax&password=hunter2",
        ] {
            let location: Location = url.parse().unwrap();
            assert_eq!(location.to_string(), "postgres://db:5432/hub");
            assert_eq!(format!("{location:?}"), "postgres://db:5432/hub");
        }
    }

    #[test]
    fn a_place_that_is_neither_says_what_was_expected_and_shows_no_password() {
        let message = "mysql://larnax:hunter2@db".parse::<Location>().unwrap_err().to_string();
        assert!(message.contains("mysql") && message.contains("postgres://"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
        assert!("".parse::<Location>().is_err());
    }
}
