//! The OpenAPI document of the agent's server, from the types of [`super::api`].

use larnax_detect::Explanation;
use larnax_serve::openapi::{Route, Schemas, answered, failed, get, health, json, object, post, query, text};
use utoipa::openapi::ContentBuilder;
use utoipa::openapi::Required;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::Type;

use super::api::{
    AnomalyReport, ComponentReport, Declaration, DeclarationReport, HistoryReport, MetricReport, StatusReport,
};

const ABOUT: &str = "What an agent watches and what it found. Times are RFC 3339 in UTC unless they are called \
                     seconds. A score of at most 1 is normal. Errors are JSON: what was found, what was expected, what \
                     to do.";

const TOKEN: &str = "Only where the config has `api.bearer_token_file` or `api.bearer_token`.";

/// The document, as the JSON that `/api/v1/openapi.json` answers.
///
/// # Errors
/// When it can't be written as JSON.
pub fn document() -> serde_json::Result<String> {
    let mut schemas = Schemas::default();
    let routes = routes(&mut schemas);
    larnax_serve::openapi::document("Larnax agent", ABOUT, TOKEN, schemas, routes)
}

/// All routes of [`super::routes`]; a test asks for each of them.
fn routes(schemas: &mut Schemas) -> Vec<Route> {
    let guarded = |summary: &str, answer: Response| answered("200", summary, answer);
    let of_component = |summary: &str, answer: Response| {
        guarded(summary, answer)
            .parameter(query("component", Required::True, "A component's `id`", Type::String))
            .response("400", failed("`component` is missing or is not an id"))
            .response("404", failed("There is no such component, or the agent doesn't keep that"))
    };

    let status = json("The agent", schemas.of::<StatusReport>());
    let components = json("All components", schemas.list::<ComponentReport>());
    let metrics =
        json("All metrics of the component, in the order of its schema", schemas.list::<MetricReport>());
    let history = json("Score, and value and band of each metric named", schemas.of::<HistoryReport>());
    let explanation = json("What the next alert depends on", schemas.of::<Explanation>());
    let anomalies = json("Newest first", schemas.list::<AnomalyReport>());
    let declared = json("It has ended, and what is there now is learnt", schemas.of::<DeclarationReport>());
    let declaration = ContentBuilder::new().schema(Some(schemas.of::<Declaration>())).build();
    vec![
        get("/api/v1/status", guarded("The agent and how it is doing", status)),
        get("/api/v1/components", guarded("What is watched", components)),
        get(
            "/api/v1/metrics",
            of_component("The metrics of a component, and what is expected of them", metrics),
        ),
        get(
            "/api/v1/history",
            of_component(
                "The last hour of a component, where the agent keeps it (`larnax up` does)",
                history,
            )
            .parameter(query(
                "metric",
                Required::False,
                "A metric; may be given more than once",
                Type::Array,
            )),
        ),
        get("/api/v1/explain", of_component("Why a component did or didn't alert", explanation)),
        get(
            "/api/v1/anomalies",
            guarded("Recent anomalies", anomalies)
                .parameter(query(
                    "state",
                    Required::False,
                    "`open`: only those that have not ended",
                    Type::String,
                ))
                .parameter(query(
                    "evidence",
                    Required::False,
                    "`true`: with what each can be judged by",
                    Type::String,
                ))
                .response("400", failed("`state` is something else than `open`, or `evidence` than `true`")),
        ),
        post(
            "/api/v1/normal",
            guarded(
                "Says that an open anomaly is normal: it ends, and what is there now is learnt",
                declared,
            )
            .request_body(Some(
                RequestBodyBuilder::new()
                    .content("application/json", declaration)
                    .required(Some(Required::True))
                    .build(),
            ))
            .response("400", failed("The body is something else"))
            .response("404", failed("No such anomaly is open"))
            .response("413", failed("The body is longer than 64 KiB"))
            .response("415", failed("The body is not said to be `application/json`")),
        ),
        get("/api/v1/openapi.json", guarded("This document", json("OpenAPI", object()))),
        get("/metrics", guarded("The agent's own metrics", text("OpenMetrics, or the text format"))),
        get("/-/healthy", health("Whether the agent runs; needs no token")),
        get(
            "/-/ready",
            health("Whether every component was heard or tried; needs no token")
                .response("503", text("Not yet")),
        ),
        post(
            "/-/reload",
            answered("202", "Reads the config again", text("`notices` of the status say how that went")),
        ),
    ]
}
