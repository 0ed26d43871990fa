//! CloudEvents 1.0 in their JSON format, from anybody: checked here before a log takes them.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>

use larnax_core::event::OF_HUBS;
use larnax_core::{CloudEvent, RawEvent, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The media type of one event.
pub const EVENT: &str = "application/cloudevents+json";
/// The media type of an array of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// The longest event, in bytes of JSON. One with evidence of a hundred metrics over ten minutes has about 100 kB.
pub const MAX_EVENT_BYTES: usize = 512 << 10;
/// The most events that are published together.
pub const MAX_BATCH: usize = 1000;
/// How deep values may nest in an event, the event itself counted.
pub const MAX_DEPTH: usize = 32;
/// The longest `id` and `type`, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest `source` and `subject`, in bytes: a component id may have 512.
pub const MAX_REFERENCE_BYTES: usize = 1024;

/// Types of Larnax' own events, whose ids are unique over all sources.
const OWN: &str = "io.larnax.";

/// Why something is no event that a log takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{problem}")]
pub struct InvalidEvent {
    place: String,
    problem: String,
}

fn invalid(problem: impl Into<String>) -> InvalidEvent {
    InvalidEvent { place: String::new(), problem: problem.into() }
}

/// Wraps one of our own events for a bus.
///
/// # Errors
/// When it is longer than [`MAX_EVENT_BYTES`], or its data can't be written as JSON.
pub fn raw<D: Serialize>(event: &CloudEvent<D>) -> Result<RawEvent, InvalidEvent> {
    let json = serde_json::to_string(event).map_err(|error| invalid(error.to_string()))?;
    check_length(&json)?;
    Ok(RawEvent {
        id: event.id.clone(),
        r#type: event.r#type.clone(),
        subject: event.subject.clone(),
        time: event.time,
        json,
    })
}

/// Reads one event. `received` is its time where it doesn't say when it happened.
///
/// `specversion`, `id`, `source` and `type` must be there. Events without a `subject` are about their `source`. An id stands
/// for the event together with its source, as the specification has it, except in Larnax' own types.
///
/// # Errors
/// When something is missing, of another kind, or beyond a limit of this file.
pub fn parse(json: &str, received: Timestamp) -> Result<RawEvent, InvalidEvent> {
    check_length(json)?;
    // As a whole, though only attributes are of interest: what is stored must be readable later, by databases too.
    let value = match serde_json::from_str(json) {
        Ok(Value::Object(event)) => event,
        Ok(_) => return Err(invalid("expected a JSON object")),
        Err(error) => return Err(invalid(format!("expected a JSON object: {error}"))),
    };
    if !value.iter().all(|(name, value)| is_storable(name) && value_is_storable(value, MAX_DEPTH - 1)) {
        return Err(invalid(format!("expected no \\u0000 and at most {MAX_DEPTH} levels of nesting")));
    }
    match attribute(&value, "specversion", MAX_NAME_BYTES)?.as_deref() {
        Some("1.0") => {}
        Some(other) => return Err(invalid(format!("`specversion` is `{other}`: expected `1.0`"))),
        None => return Err(invalid("`specversion` is missing: expected `1.0`")),
    }
    let needed = |name, max| {
        let found = attribute(&value, name, max)?;
        found.ok_or_else(|| invalid(format!("`{name}` is missing: expected a text that is not empty")))
    };
    let id = needed("id", MAX_NAME_BYTES)?;
    let source = needed("source", MAX_REFERENCE_BYTES)?;
    let r#type = needed("type", MAX_NAME_BYTES)?;
    let subject = attribute(&value, "subject", MAX_REFERENCE_BYTES)?.unwrap_or_else(|| source.clone());
    let time = match attribute(&value, "time", MAX_NAME_BYTES)? {
        Some(text) => text.parse().map_err(|error| invalid(format!("`time`: {error}")))?,
        None => received,
    };
    // A space stands in no URI reference, so that no two pairs look the same.
    let id = if r#type.starts_with(OWN) { id } else { format!("{source} {id}") };
    // Outside of texts, where JSON allows none, line breaks are only for the eye.
    let json = json.replace(['\n', '\r'], " ");
    Ok(RawEvent { id, r#type, subject, time, json })
}

/// Reads an event that comes from outside. As [`parse`], but for types that only hubs may write.
///
/// # Errors
/// As [`parse`], and for such a type.
pub fn parse_foreign(json: &str, received: Timestamp) -> Result<RawEvent, InvalidEvent> {
    let event = parse(json, received)?;
    if OF_HUBS.contains(&event.r#type.as_str()) {
        return Err(invalid(format!("`type` is `{}`: only hubs say that", event.r#type)));
    }
    Ok(event)
}

/// Reads an array of events from outside: all of them, or none.
///
/// # Errors
/// As [`parse_foreign`], naming the first event that is wrong; or when there are more than [`MAX_BATCH`].
pub fn parse_batch(json: &str, received: Timestamp) -> Result<Vec<RawEvent>, InvalidEvent> {
    let events: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|error| invalid(format!("expected a JSON array: {error}")))?;
    if events.len() > MAX_BATCH {
        return Err(invalid(format!("expected at most {MAX_BATCH} events, found {}", events.len())));
    }
    let parsed = events.iter().enumerate().map(|(at, event)| {
        parse_foreign(event.get(), received)
            .map_err(|error| InvalidEvent { place: format!("event {at}: "), problem: error.problem })
    });
    parsed.collect()
}

fn check_length(json: &str) -> Result<(), InvalidEvent> {
    match json.len() {
        ..=MAX_EVENT_BYTES => Ok(()),
        length => Err(invalid(format!("expected at most {MAX_EVENT_BYTES} bytes, found {length}"))),
    }
}

/// A text attribute; none where it is absent, null or empty.
fn attribute(event: &Map<String, Value>, name: &str, max: usize) -> Result<Option<String>, InvalidEvent> {
    match event.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() > max => {
            Err(invalid(format!("`{name}` has {} bytes: expected at most {max}", text.len())))
        }
        Some(Value::String(text)) if text.chars().any(char::is_control) => {
            Err(invalid(format!("`{name}` has control characters")))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("`{name}` is no text"))),
    }
}

/// Whether a database takes it and a reader can read it: PostgreSQL's JSON has no NUL, and readers recurse.
fn value_is_storable(value: &Value, depth: usize) -> bool {
    match value {
        Value::String(text) => is_storable(text),
        Value::Array(values) => depth > 0 && values.iter().all(|value| value_is_storable(value, depth - 1)),
        Value::Object(fields) => {
            let field =
                |(name, value): (&String, &Value)| is_storable(name) && value_is_storable(value, depth - 1);
            depth > 0 && fields.iter().all(field)
        }
        _ => true,
    }
}

fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENT: &str = r#"{"specversion": "1.0", "id": "7", "source": "/a", "type": "t", "subject": "node/x/y", "time": "2026-11-22T00:00:00Z", "data": {"k": [1]}}"#;

    fn read(json: &str) -> Result<RawEvent, String> {
        parse(json, Timestamp::from_seconds(5.0)).map_err(|error| error.to_string())
    }

    fn with(name: &str, value: Value) -> String {
        let mut event: Map<String, Value> = serde_json::from_str(EVENT).unwrap();
        event.insert(name.to_owned(), value);
        Value::Object(event).to_string()
    }

    #[test]
    fn an_event_is_kept_as_it_came_in_one_line() {
        let event = read(&EVENT.replace(", ", ",\r\n ")).unwrap();
        assert_eq!((event.r#type.as_str(), event.subject.as_str()), ("t", "node/x/y"));
        assert_eq!(event.time.to_string(), "2026-11-22T00:00:00.000Z");
        assert_eq!(event.json, EVENT.replace(", ", ",   "));
    }

    #[test]
    fn what_an_event_does_not_say_is_taken_from_where_it_comes_from_and_when() {
        let event =
            read(r#"{"specversion":"1.0","id":"7","source":"/a","type":"t","subject":null}"#).unwrap();
        assert_eq!((event.subject.as_str(), event.time), ("/a", Timestamp::from_seconds(5.0)));
    }

    #[test]
    fn the_same_id_of_another_source_is_another_event_but_not_in_our_own_types() {
        let id = |source: &str, r#type: &str| {
            read(&with("source", source.into()).replace("\"type\":\"t\"", &format!("\"type\":\"{type}\"")))
                .unwrap()
                .id
        };
        assert_ne!(id("/a", "t"), id("/b", "t"));
        assert_eq!(id("/a", "io.larnax.heartbeat.v1"), id("/b", "io.larnax.heartbeat.v1"));
        assert_eq!(id("/a", "io.larnax.heartbeat.v1"), "7");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for name in ["specversion", "id", "source", "type"] {
            for value in [Value::Null, "".into()] {
                let message = read(&with(name, value)).unwrap_err();
                assert!(message.contains(&format!("`{name}` is missing")), "{message}");
            }
            assert!(read(&with(name, 7.into())).unwrap_err().contains("is no text"));
        }
        for (name, value, expected) in [
            ("specversion", Value::from("0.3"), "expected `1.0`"),
            ("id", "x".repeat(MAX_NAME_BYTES + 1).into(), "`id` has 257 bytes"),
            ("type", "a\nb".into(), "`type` has control characters"),
            ("subject", serde_json::json!({}), "`subject` is no text"),
            ("time", "yesterday".into(), "RFC 3339"),
            ("time", "9999-01-01T00:00:00Z".into(), "outside the years"),
            ("data", "a\0b".into(), "\\u0000"),
            ("data", serde_json::json!({"a\0": 1}), "\\u0000"),
        ] {
            let message = read(&with(name, value)).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        for text in ["", "7", "[]", "{", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "\u{feff}{}"] {
            assert!(read(text).unwrap_err().contains("expected a JSON object"), "{text}");
        }
    }

    #[test]
    fn limits_of_depth_and_length_are_met_exactly() {
        let nested = |levels: usize| {
            let data = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
            read(&EVENT.replace("{\"k\": [1]}", &data))
        };
        assert!(nested(MAX_DEPTH - 1).is_ok());
        assert!(nested(MAX_DEPTH).unwrap_err().contains("32 levels"));
        assert!(nested(100_000).unwrap_err().contains("expected"));
        let long = |length: usize| read(&format!("{EVENT}{}", " ".repeat(length - EVENT.len())));
        assert!(long(MAX_EVENT_BYTES).is_ok());
        assert!(long(MAX_EVENT_BYTES + 1).unwrap_err().contains("at most 524288 bytes"));
    }

    #[test]
    fn one_wrong_event_refuses_the_batch_and_is_named() {
        let batch = |events: &[&str]| parse_batch(&format!("[{}]", events.join(",")), Timestamp::default());
        assert_eq!(batch(&[EVENT, EVENT]).unwrap().len(), 2);
        assert_eq!(batch(&[]).unwrap().len(), 0);
        let error = batch(&[EVENT, &with("id", Value::Null)]).unwrap_err().to_string();
        assert!(error.starts_with("event 1: `id` is missing"), "{error}");
        assert!(batch(&[EVENT; MAX_BATCH + 1]).unwrap_err().to_string().contains("at most 1000 events"));
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down_and_what_it_takes_it_takes_again(text in ".{0,200}", data in "\\PC{0,40}") {
            let _ = parse(&text, Timestamp::default());
            let _ = parse_batch(&text, Timestamp::default());
            if let Ok(event) = read(&with("data", Value::from(data))) {
                prop_assert_eq!(read(&event.json).unwrap(), event);
            }
        }
    }

    #[test]
    fn what_makes_hubs_do_something_is_refused_from_outside_alone_and_in_a_batch() {
        for r#type in OF_HUBS {
            let json = format!(
                "{{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"/x\", \"type\": \"{type}\"}}"
            );
            let now = Timestamp::default();
            assert!(parse(&json, now).is_ok(), "a reader of a hub's log sees it");
            let refused = parse_foreign(&json, now).unwrap_err().to_string();
            assert!(refused.contains("only hubs say that"), "{refused}");
            assert!(parse_batch(&format!("[{json}]"), now).is_err());
        }
    }
}
