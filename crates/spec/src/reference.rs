//! The published reference of the config: a JSON schema and a page, both made from the doc comments of the types.

use std::fmt::Write;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::env;

/// The JSON schema (draft 2020-12) of the config.
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

fn schema() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Larnax config".into());
    }
    one_line_descriptions(&mut schema);
    schema
}

/// A doc comment is broken into lines for its reader; a description is one text.
fn one_line_descriptions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                    value => one_line_descriptions(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(one_line_descriptions),
        _ => {}
    }
}

/// The reference page, in Markdown.
pub fn markdown() -> String {
    let schema = schema();
    let definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut page = Page { text: INTRODUCTION.to_owned(), definitions: &definitions };
    page.section("The config", &schema);
    // Sections in the order in which a reader of the first one meets them.
    let mut order = Vec::new();
    names_below(&schema, &definitions, &mut order);
    for name in &order {
        if let Some(definition) = definitions.get(name).filter(|d| d.get("properties").is_some()) {
            page.section(name, definition);
        }
    }
    page.environment();
    page.text
}

const INTRODUCTION: &str = "\
<!-- Made from the doc comments of `crates/spec` by `cargo run -p larnax-spec --features schema --example generate`. -->

# Config reference

Larnax reads one YAML file, or none: every field has a default. It is checked as a whole before anything starts, and
every problem is reported with its line, column and field. A field that is not listed here is an error. `larnax check`
checks a file without starting anything. [`config.schema.json`](config.schema.json) is the same for editors.

- A *duration* is written as in Prometheus: `100ms`, `5s`, `1h30m`, `2d`.
- A *size* is a number of bytes: `8MiB` (1024²), `16MB` (1000²), `512`.
- A *regular expression* has to match the whole name.
- `true` and `false` are the only booleans; `yes`, `no`, `y` and `n` are texts.
- `${NAME}` in a value stands for an environment variable, and `$${NAME}` for that text itself.
- A relative path is relative to the folder of the config file.
- A secret in the file is never shown; one in a file of its own can be replaced without a reload.

A Prometheus config is accepted as it is, as far as `global`, `scrape_configs` with `static_configs`, `file_sd_configs`
and `http_sd_configs`, and `alerting` go.
A field of Prometheus that would change what is watched and is not supported yet (other discoveries, relabelling,
`oauth2`, proxies) is an error that says what to do instead; one without such an effect is passed over with a warning.

A small config:

```yaml
interval: 5s
external_labels: {site: ghent}
host: true
scrape_configs:
- job_name: node
  static_configs:
  - targets: [\"127.0.0.1:9100\"]
alerts:
  alertmanagers: [\"http://127.0.0.1:9093\"]
detect:
  alert_budget: 1/week
```
";

struct Page<'a> {
    text: String,
    definitions: &'a Map<String, Value>,
}

impl Page<'_> {
    fn section(&mut self, name: &str, schema: &Value) {
        let _ = write!(self.text, "\n## {name}\n\n{}\n", description(schema));
        self.text.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
        for (field, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let kind = self.kind(property);
            let default = match property.get("default") {
                // A section's defaults stand in its own table.
                Some(Value::Object(of)) if kind.contains("](#") && !of.is_empty() => "see there".to_owned(),
                Some(Value::Object(_)) if kind.contains("](#") => "–".to_owned(),
                Some(value) if !value.is_null() => format!("`{}`", plain(value)),
                _ => "–".to_owned(),
            };
            let meaning = description(property).replace('|', "\\|");
            let _ = writeln!(self.text, "| `{field}` | {kind} | {default} | {meaning} |");
        }
    }

    /// A type in words, with links to sections.
    fn kind(&self, schema: &Value) -> String {
        if let Some(name) =
            schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next())
        {
            return match self.definitions.get(name) {
                Some(definition) if definition.get("properties").is_some() => {
                    format!("[{name}](#{})", name.to_lowercase())
                }
                Some(definition) => self.kind(definition),
                None => name.to_owned(),
            };
        }
        if let Some(word) = schema.get("const").map(plain) {
            return format!("`{word}`");
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(options) = schema.get(choice).and_then(Value::as_array) {
                let known = options
                    .iter()
                    .filter(|option| option.get("type").and_then(Value::as_str) != Some("null"));
                return known.map(|option| self.kind(option)).collect::<Vec<_>>().join(" or ");
            }
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words = words.iter().filter(|word| !word.is_null());
            return words.map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(" or ");
        }
        if let Some(title) = schema.get("title").and_then(Value::as_str) {
            return title.to_owned();
        }
        let kind = match schema.get("type") {
            Some(Value::Array(kinds)) => {
                kinds.iter().find_map(|kind| kind.as_str().filter(|kind| *kind != "null"))
            }
            Some(kind) => kind.as_str(),
            None => None,
        };
        match kind {
            Some("array") => {
                format!("list of {}", schema.get("items").map_or_else(String::new, |of| self.kind(of)))
            }
            Some("object") => {
                let of = schema.get("additionalProperties").map_or_else(String::new, |of| self.kind(of));
                format!("map of names to {of}")
            }
            Some("integer") => "whole number".to_owned(),
            Some("string") => "text".to_owned(),
            Some(kind) => kind.to_owned(),
            None => String::new(),
        }
    }

    fn environment(&mut self) {
        self.text.push_str(
            "\n## Environment variables\n\nThey override the file; flags of the command line override them. A variable set to \
             nothing counts as not\nset. Lists are separated by commas.\n\n| variable | field | meaning |\n|---|---|---|\n",
        );
        for variable in &env::VARIABLES {
            let field = variable.field.map_or_else(|| "–".to_owned(), |field| format!("`{field}`"));
            let _ = writeln!(self.text, "| `{}` | {field} | {} |", variable.name, variable.doc);
        }
    }
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// A value as it would stand in YAML.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), |text| if text.is_empty() { "''".into() } else { text.to_owned() })
}

/// Names of definitions, each once, in the order in which a reader meets them.
fn names_below(value: &Value, definitions: &Map<String, Value>, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| *key != "$defs") {
                match (key.as_str(), value.as_str().and_then(|path| path.rsplit('/').next())) {
                    ("$ref", Some(name)) if !into.iter().any(|known| known == name) => {
                        into.push(name.to_owned());
                        if let Some(definition) = definitions.get(name) {
                            names_below(definition, definitions, into);
                        }
                    }
                    _ => names_below(value, definitions, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_below(item, definitions, into)),
        _ => {}
    }
}
