//! OpenAPI documents, made from the types that are answered.

use std::borrow::Cow;

use serde_json::{Value, json};
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApiBuilder, PathItem, Ref, RefOr, Required,
};
use utoipa::{PartialSchema, ToSchema};

use crate::ErrorReport;

/// One way to ask.
pub struct Route {
    path: &'static str,
    method: HttpMethod,
    operation: OperationBuilder,
}

/// `GET path`.
pub fn get(path: &'static str, operation: OperationBuilder) -> Route {
    Route { path, method: HttpMethod::Get, operation }
}

/// `POST path`.
pub fn post(path: &'static str, operation: OperationBuilder) -> Route {
    Route { path, method: HttpMethod::Post, operation }
}

/// A document, as the JSON that `openapi.json` answers. `token` says where the token comes from.
///
/// # Errors
/// When it can't be written as JSON.
pub fn document(
    title: &str,
    about: &str,
    token: &str,
    mut schemas: Schemas,
    routes: Vec<Route>,
) -> serde_json::Result<String> {
    schemas.of::<ErrorReport>();
    let mut paths = PathsBuilder::new();
    for route in routes {
        paths = paths.path(route.path, PathItem::new(route.method, route.operation));
    }
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(token)).build();
    let info = InfoBuilder::new().title(title).version(env!("CARGO_PKG_VERSION")).description(Some(about));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas.0)
        .security_scheme("token", SecurityScheme::Http(token));
    let document =
        OpenApiBuilder::new().info(info.build()).paths(paths.build()).components(Some(components.build()));
    let document = serde_json::to_value(document.build())?;
    Ok(lines(&document, 3) + "\n")
}

/// JSON with a line for each path, each schema and whatever else is that deep: programs carry it, where indentation would be half of it, and
/// people read what changes in it.
fn lines(value: &Value, deep: usize) -> String {
    match value.as_object() {
        Some(fields) if deep > 0 && !fields.is_empty() => {
            let field =
                |(name, value): (&String, &Value)| format!("{}:{}", json!(name), lines(value, deep - 1));
            format!("{{\n{}\n}}", fields.iter().map(field).collect::<Vec<_>>().join(",\n"))
        }
        _ => value.to_string(),
    }
}

/// An operation that the door may refuse, as every one but those of health.
pub fn answered(code: &str, summary: &str, answer: Response) -> OperationBuilder {
    OperationBuilder::new()
        .summary(Some(summary))
        .response(code, answer)
        .response("401", failed("The token is missing or wrong"))
        .response(
            "403",
            failed("Without a token: the `Host` is not a loopback one, or another page sends this"),
        )
        .security(SecurityRequirement::default())
        .security(SecurityRequirement::new::<_, [&str; 0], &str>("token", []))
}

/// An operation that anybody may ask for.
pub fn health(summary: &str) -> OperationBuilder {
    OperationBuilder::new().summary(Some(summary)).response("200", text("Yes"))
}

/// An error.
pub fn failed(description: &str) -> Response {
    json(description, Ref::from_schema_name(ErrorReport::name()).into())
}

/// The schemas that are named so far, each possibly more than once.
#[derive(Default)]
pub struct Schemas(Vec<(String, RefOr<Schema>)>);

impl Schemas {
    /// Names a type and all that it is made of.
    pub fn of<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.0);
        let name: Cow<'_, str> = T::name();
        self.0.push((name.to_string(), T::schema()));
        Ref::from_schema_name(name).into()
    }

    /// A list of them.
    pub fn list<T: ToSchema>(&mut self) -> RefOr<Schema> {
        ArrayBuilder::new().items(self.of::<T>()).into()
    }
}

/// Any object.
pub fn object() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Object).into()
}

/// An answer in JSON.
pub fn json(description: &str, schema: RefOr<Schema>) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

/// An answer in text.
pub fn text(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(String::schema())).build();
    ResponseBuilder::new().description(description).content("text/plain", content).build()
}

/// A parameter of the query.
pub fn query(name: &str, required: Required, description: &str, of: Type) -> Parameter {
    let schema: RefOr<Schema> = match of {
        Type::Array => ArrayBuilder::new().items(String::schema()).into(),
        other => ObjectBuilder::new().schema_type(other).into(),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// A part of the path.
pub fn in_path(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(String::schema()))
        .build()
}

/// What is wrong with a document: fields without a description, references that lead nowhere. For tests.
pub fn problems(document: &str) -> Vec<String> {
    let Ok(document) = serde_json::from_str::<Value>(document) else { return vec!["no JSON".to_owned()] };
    let none = serde_json::Map::new();
    let schemas = document["components"]["schemas"].as_object().unwrap_or(&none);
    let mut problems = Vec::new();
    for (name, schema) in schemas {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            if !property.to_string().contains("\"description\"") {
                problems.push(format!("{name}.{field} has no description"));
            }
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    let known = |reference: &str| {
        reference.strip_prefix("#/components/schemas/").is_some_and(|name| schemas.contains_key(name))
    };
    let dead = references.into_iter().filter(|reference| !known(reference));
    problems.extend(dead.map(|reference| format!("{reference} leads nowhere")));
    problems
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
