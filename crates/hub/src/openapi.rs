//! The OpenAPI document of the hub's server, from the types of [`crate::report`].

use larnax_core::{Incident, Plan, TopologyDelta};
use larnax_serve::openapi::{
    Route, Schemas, answered, document as written, failed, get, health, in_path, json, object, post, query,
    text,
};
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    ContentBuilder, Required,
    request_body::{RequestBody, RequestBodyBuilder},
};

use crate::report::{
    AgentReport, AuditReport, HubReport, OffersReport, PatternsReport, Told, TopologyReport,
};

const ABOUT: &str = "What a hub knows: edges, topology, incidents, where they began, and what is done about them. Times are RFC 3339 in UTC unless \
                     they are called seconds. Errors are JSON: what was found, what was expected, what to do. Edges \
                     connect at `/api/v1/session` with a WebSocket.";
const TOKEN: &str = "Only where the hub was given a token (`--token-file`).";

/// The document, as the JSON that `/api/v1/hub/openapi.json` answers.
///
/// # Errors
/// When it can't be written as JSON.
pub fn document() -> serde_json::Result<String> {
    let mut schemas = Schemas::default();
    let mut routes = routes(&mut schemas);
    routes.extend(routes_of_plans(&mut schemas));
    written("Larnax hub", ABOUT, TOKEN, schemas, routes)
}

/// All routes of [`crate::api`]; a test asks for each of them.
fn routes(schemas: &mut Schemas) -> Vec<Route> {
    let guarded = |summary: &str, answer: Response| answered("200", summary, answer);
    let hub = json("The hub", schemas.of::<HubReport>());
    let agents = json("All that are connected to this hub", schemas.list::<AgentReport>());
    let topology = json("Components and edges", schemas.of::<TopologyReport>());
    let incidents = json("Newest first", schemas.list::<Incident>());
    let incident = json("The incident", schemas.of::<Incident>());
    let unavailable = || failed("The history can't be read now");
    let event = ContentBuilder::new().schema(Some(object())).build();
    let said = ContentBuilder::new().schema(Some(schemas.of::<TopologyDelta>())).build();
    let said =
        RequestBodyBuilder::new().content("application/json", said).required(Some(Required::True)).build();
    let number = |name, text| query(name, Required::False, text, Type::Integer);
    let word = |name, text| query(name, Required::False, text, Type::String);
    vec![
        get("/api/v1/hub", guarded("The hub and how it is doing", hub)),
        get("/api/v1/agents", guarded("The edges that are connected", agents)),
        get("/api/v1/topology", guarded("Who depends on whom", topology)),
        post(
            "/api/v1/topology",
            answered("200", "What a platform says: all of it that holds now", json("How many parts were refused", object()))
                .request_body(Some(said))
                .response("400", failed("That is no topology, or nobody says so"))
                .response("413", failed("More than a request may have")),
        ),
        get(
            "/api/v1/incidents",
            guarded("Incidents", incidents)
                .parameter(word("state", "`open`: only those that have not ended"))
                .parameter(number("limit", "At most so many, up to 1000; 100 where it is left out"))
                .parameter(word("after", "The last `id` of the page before"))
                .response("400", failed("A parameter is something else"))
                .response("503", unavailable()),
        ),
        get(
            "/api/v1/incidents/{id}",
            guarded("One incident, with the ranked causes", incident)
                .parameter(in_path("id", "The incident's `id`"))
                .response("400", failed("That is no id"))
                .response("404", failed("There is no such incident"))
                .response("503", unavailable()),
        ),
        get(
            "/api/v1/events",
            guarded(
                "Events of the log after a sequence; `next` and `epoch` of the answer are for the next question",
                json("`{epoch, next, events: [{sequence, event}]}`, each event a CloudEvent", object()),
            )
            .parameter(number("after", "The sequence of the last event that is known; 0 for the oldest"))
            .parameter(word("epoch", "The epoch of the answer before; another one begins with the oldest event"))
            .parameter(number("limit", "At most so many events"))
            .parameter(word("wait", "How long to wait for an event, such as `20s`"))
            .response("400", failed("A parameter is something else"))
            .response("503", unavailable()),
        ),
        post(
            "/api/v1/events",
            answered("200", "Appends CloudEvents to the log", json("They are safe", object()))
                .request_body(Some(
                    RequestBodyBuilder::new()
                        .content("application/cloudevents+json", event.clone())
                        .content("application/cloudevents-batch+json", event)
                        .required(Some(Required::True))
                        .build(),
                ))
                .response("400", failed("An event that can't be taken; says which and why"))
                .response("413", failed("More than a request may have"))
                .response("415", failed("The content type is another one"))
                .response("503", unavailable()),
        ),
        get("/api/v1/hub/openapi.json", guarded("This document", json("OpenAPI", object()))),
        get("/metrics", guarded("The hub's own metrics", text("OpenMetrics, or the text format"))),
        get("/-/healthy", health("Whether the hub runs; needs no token")),
        get("/-/ready", health("Whether it answers; needs no token")),
    ]
}

/// A field of a body, whether it is needed, and what it says.
type Field = (&'static str, Required, &'static str);

const BY: Field =
    ("by", Required::False, "Who, for the audit: at most 100 characters; `somebody` where it is left out");
const ACTION: Field =
    ("action", Required::False, "The `action` of one of the proposals; the first where it is left out");
const SEQUENCE: Field = (
    "sequence",
    Required::False,
    "The plan's `sequence` as it was seen: if it has changed since, nothing is done",
);
const NAME: Field = ("name", Required::True, "The name of the pattern: at most 100 characters");

const ON: Field = ("on", Required::True, "Which components; `*` stands for anything, as in `service/shop/*`");
const SECONDS: Field = ("seconds", Required::True, "For how long, up to 30 days; 0 ends it");

/// What is sent with what somebody wants.
fn body(fields: &[Field]) -> RequestBody {
    let mut object = ObjectBuilder::new();
    for (name, required, says) in fields {
        let r#type = match *name {
            "seconds" => Type::Number,
            "sequence" => Type::Integer,
            _ => Type::String,
        };
        object = object.property(*name, ObjectBuilder::new().schema_type(r#type).description(Some(*says)));
        if *required == Required::True {
            object = object.required(*name);
        }
    }
    let content = ContentBuilder::new().schema(Some(object)).build();
    RequestBodyBuilder::new().content("application/json", content).build()
}

/// Those of [`crate::api`] that are about what is done.
fn routes_of_plans(schemas: &mut Schemas) -> Vec<Route> {
    let guarded = |summary: &str, answer: Response| answered("200", summary, answer);
    let unavailable = || failed("The history can't be read now");
    let number = |name, text| query(name, Required::False, text, Type::Integer);
    let word = |name, text| query(name, Required::False, text, Type::String);
    let limit = || number("limit", "At most so many, up to 1000; 100 where it is left out");
    let plans = json("Newest first", schemas.list::<Plan>());
    let plan = json("The plan", schemas.of::<Plan>());
    let offers = json("Edges that can do something", schemas.list::<OffersReport>());
    let patterns = json("By when each was first seen", schemas.of::<PatternsReport>());
    let audit = json("Newest first", schemas.list::<AuditReport>());
    let told = schemas.of::<Told>();
    let wish = |summary, fields: &[Field]| {
        guarded(summary, json("What is done", told.clone()))
            .request_body(Some(body(fields)))
            .response("400", failed("The body, or the id, is something else"))
            .response("409", failed("It is not done, and why"))
            .response("413", failed("More than a request may have"))
            .response("415", failed("The content type is another one"))
            .response("503", unavailable())
            .response("504", failed("No hub acts now; the next one that does answers, in the audit"))
    };
    let of_plan = |operation: OperationBuilder| operation.parameter(in_path("id", "The plan's `id`"));
    vec![
        get(
            "/api/v1/plans",
            guarded("Plans: what is to be done about incidents, and what came of it", plans)
                .parameter(word("state", "`open`: only those that have not ended"))
                .parameter(word("incident", "Only those about the incident with this `id`"))
                .parameter(limit())
                .parameter(word("after", "The last `id` of the page before"))
                .response("400", failed("A parameter is something else"))
                .response("503", unavailable()),
        ),
        get(
            "/api/v1/plans/{id}",
            of_plan(guarded("One plan", plan))
                .response("400", failed("That is no id"))
                .response("404", failed("There is no such plan"))
                .response("503", unavailable()),
        ),
        post(
            "/api/v1/plans/{id}/approve",
            of_plan(wish("Has one of a plan's proposals done", &[BY, ACTION, SEQUENCE])),
        ),
        post("/api/v1/plans/{id}/reject", of_plan(wish("Has nothing done about a plan's incident", &[BY]))),
        post("/api/v1/plans/{id}/undo", of_plan(wish("Has what was done taken back", &[BY]))),
        post(
            "/api/v1/plans/{id}/name",
            of_plan(wish("Names what a plan's incident looks like", &[BY, NAME])),
        ),
        post(
            "/api/v1/plans/{id}/try",
            of_plan(wish(
                "What one of a plan's proposals would do, and whether it could be done now",
                &[ACTION],
            ))
            .response("404", failed("There is no such plan")),
        ),
        post(
            "/api/v1/incidents/{id}/normal",
            wish("Takes what an incident's components do for normal", &[BY])
                .parameter(in_path("id", "The incident's `id`")),
        ),
        post(
            "/api/v1/silences",
            wish(
                "Tells nobody of some components, and has nothing done about them, for a time",
                &[BY, ON, SECONDS],
            ),
        ),
        post("/api/v1/freeze", wish("Stops all actions, until it is said otherwise", &[BY])),
        post("/api/v1/thaw", wish("Lets actions go on, as policies allow", &[BY])),
        get("/api/v1/actions", guarded("What the edges that are connected can do", offers)),
        get(
            "/api/v1/patterns",
            guarded("What incidents look like, and whether everything is frozen", patterns)
                .response("503", unavailable()),
        ),
        get(
            "/api/v1/audit",
            guarded("Who did what, and when", audit)
                .parameter(word("subject", "Only about this: the `id` of a plan, or `hub`"))
                .parameter(limit())
                .parameter(number("before", "The last `number` of the page before"))
                .response("400", failed("A parameter is something else"))
                .response("503", unavailable()),
        ),
    ]
}
