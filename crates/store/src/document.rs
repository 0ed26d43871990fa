//! Documents: the words of `larnax_core` as JSON text.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// As JSON.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Invalid(format!("can't be stored as JSON: {error}")))
}

/// As JSON that has been seen to be readable. A number that is not finite becomes `null`, which no number can be read from:
/// such a document would make every list with it in it unreadable.
pub(crate) fn encode_checked<T: Serialize + DeserializeOwned>(value: &T) -> Result<String, Error> {
    let text = encode(value)?;
    match serde_json::from_str::<T>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Error::Invalid(format!("can't be read back once stored: {error}"))),
    }
}

/// From JSON; `what` names the row for the error.
pub(crate) fn decode<T: DeserializeOwned>(place: &str, what: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Damaged {
        place: place.to_owned(),
        reason: format!("{what} holds JSON that can't be read: {error}"),
    })
}

/// A value that is one word in JSON, without its quotes.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String, Error> {
    encode(value).map(|text| text.trim_matches('"').to_owned())
}
