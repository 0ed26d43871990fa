//! What SQLite's errors mean.

use rusqlite::ErrorCode;

use crate::Error;

/// Classes an error of SQLite, for `map_err`.
pub(super) fn failed(place: &str) -> impl Fn(rusqlite::Error) -> Error + '_ {
    move |error| {
        let place = place.to_owned();
        // Its own text can hold a whole statement, but no values.
        let reason = match &error {
            rusqlite::Error::SqliteFailure(code, Some(message)) => {
                format!("{message} (SQLite {})", code.extended_code)
            }
            other => other.to_string(),
        };
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::SystemIoFailure
                | ErrorCode::FileLockingProtocolFailed,
            ) => Error::Unavailable { place, reason },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Damaged { place, reason },
            _ => Error::Refused { place, reason },
        }
    }
}

/// The same for what the file system says.
pub(super) fn io_failed(place: &str) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| {
        let (place, reason) = (place.to_owned(), error.to_string());
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::Interrupted => {
                Error::Unavailable { place, reason }
            }
            _ => Error::Refused { place, reason },
        }
    }
}
