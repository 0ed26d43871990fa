//! What is answered about plans, and what people may want of them.

use larnax_core::{Effect, Glob, IncidentId, PlanId, Want};
use larnax_serve::answer::{Answer, Query, error, json};
use larnax_serve::hyper::StatusCode;
use larnax_serve::hyper::body::Bytes;
use larnax_store::{AuditQuery, PlanQuery};
use serde::Deserialize;

use super::{bad, limit, unavailable};
use crate::hub::Hub;
use crate::plans::Answered;
use crate::report::{AuditReport, OffersReport, PatternReport, PatternsReport, SilenceReport, Told};

/// The longest name of a person, in characters.
const MAX_BY: usize = 100;
/// Who wants something and doesn't say who they are.
const SOMEBODY: &str = "somebody";

/// A path at which something can be wanted.
pub(super) enum Wish<'a> {
    /// Of a plan: which, and what.
    Plan(&'a str, &'a str),
    /// Of an incident: that it is normal.
    Normal(&'a str),
    Silence,
    Freeze,
    Thaw,
}

/// The body of a wish.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    /// Who.
    by: Option<String>,
    /// Which of the proposals, to approve another one than the first.
    action: Option<String>,
    /// The plan's sequence as it was seen, to approve that and nothing else.
    sequence: Option<u32>,
    /// The name of a pattern.
    name: Option<String>,
    /// Which components are to be silent, and for how long.
    on: Option<Glob>,
    seconds: Option<f64>,
}

impl<'a> Wish<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        match path {
            "/api/v1/freeze" => Some(Self::Freeze),
            "/api/v1/thaw" => Some(Self::Thaw),
            "/api/v1/silences" => Some(Self::Silence),
            _ => {
                if let Some(id) =
                    path.strip_prefix("/api/v1/incidents/").and_then(|rest| rest.strip_suffix("/normal"))
                {
                    return Some(Self::Normal(id));
                }
                let (id, what) = path.strip_prefix("/api/v1/plans/")?.split_once('/')?;
                matches!(what, "approve" | "reject" | "undo" | "name" | "try").then_some(Self::Plan(id, what))
            }
        }
    }

    fn want(&self, said: &Said) -> Result<Want, String> {
        let plan = |id: &str| id.parse::<PlanId>().map_err(|error| error.to_string());
        Ok(match self {
            Self::Normal(id) => {
                Want::Normal { incident: id.parse::<IncidentId>().map_err(|error| error.to_string())? }
            }
            Self::Silence => Want::Silence {
                on: said.on.clone().ok_or("`on` is missing: expected components such as `service/shop/*`")?,
                seconds: said.seconds.ok_or("`seconds` is missing: expected how long, 0 to end it")?,
            },
            Self::Freeze => Want::Freeze,
            Self::Thaw => Want::Thaw,
            Self::Plan(id, "approve") => {
                let (action, sequence) = (said.action.clone(), said.sequence);
                Want::Approve { plan: plan(id)?, action, sequence }
            }
            Self::Plan(id, "reject") => Want::Reject { plan: plan(id)? },
            Self::Plan(id, "undo") => Want::Undo { plan: plan(id)? },
            Self::Plan(id, _) => {
                let name = said.name.clone().ok_or("`name` is missing: expected that of the pattern")?;
                Want::Name { plan: plan(id)?, name }
            }
        })
    }
}

impl Hub {
    /// `{"by": "ana"}`, and what else it needs.
    pub(super) async fn wish(&self, wish: Wish<'_>, body: &Bytes) -> Answer {
        let said = match body.is_empty() {
            true => Ok(Said::default()),
            false => serde_json::from_slice::<Said>(body).map_err(|error| format!("the body: {error}")),
        };
        let said = match said {
            Ok(said) => said,
            Err(message) => return bad(message),
        };
        let by = said.by.as_deref().map(str::trim).filter(|by| !by.is_empty()).unwrap_or(SOMEBODY).to_owned();
        if by.chars().count() > MAX_BY || by.chars().any(char::is_control) {
            return bad(format!("`by`: expected at most {MAX_BY} characters that can be printed"));
        }
        if let Wish::Plan(id, "try") = wish {
            return self.would(id, said.action.as_deref()).await;
        }
        let want = match wish.want(&said) {
            Ok(want) => want,
            Err(message) => return bad(message),
        };
        match self.want(by, want).await {
            Ok(Answered::Yes(answer)) => json(&Told { answer }),
            Ok(Answered::No(answer)) => error(StatusCode::CONFLICT, answer),
            Ok(Answered::Later) => {
                let message = "no hub acts now; it is too late when one does in a minute, but what stops something holds";
                error(StatusCode::GATEWAY_TIMEOUT, message.to_owned())
            }
            Err(problem) => unavailable(&problem),
        }
    }

    /// What one of a plan's proposals would do.
    async fn would(&self, id: &str, action: Option<&str>) -> Answer {
        let id = match id.parse::<PlanId>() {
            Ok(id) => id,
            Err(problem) => return bad(problem.to_string()),
        };
        let plan = match self.with_store(move |store| store.plan(id)).await {
            Ok(Some(plan)) => plan,
            Ok(None) => return error(StatusCode::NOT_FOUND, format!("no plan {id}; see /api/v1/plans")),
            Err(problem) => return unavailable(&problem),
        };
        let proposal = match action {
            None => plan.chosen(),
            Some(name) => plan.proposals.iter().find(|one| one.action == name),
        };
        let Some(proposal) = proposal else {
            return bad(format!("`{}` is not proposed", action.unwrap_or_default()));
        };
        match self.try_out(&plan, proposal).await {
            Ok(report) if report.effect == Effect::Done => json(&Told { answer: report.message }),
            Ok(report) => error(StatusCode::CONFLICT, report.message),
            Err(message) => error(StatusCode::CONFLICT, message),
        }
    }

    /// `?state=open&incident=ID&limit=N&after=ID`.
    pub(super) async fn plans(&self, query: &Query<'_>) -> Answer {
        let open = match query.first("state").as_deref() {
            None => false,
            Some("open") => true,
            Some(other) => return bad(format!("?state={other}: expected `open`, or nothing for all")),
        };
        let incident = match query.first("incident").map(|text| text.parse::<IncidentId>()).transpose() {
            Ok(incident) => incident,
            Err(problem) => return bad(format!("?incident: {problem}")),
        };
        let limit = match limit(query) {
            Ok(limit) => limit,
            Err(message) => return bad(message),
        };
        let after = match query.first("after").map(|text| text.parse::<PlanId>()).transpose() {
            Ok(None) => None,
            Ok(Some(id)) => match self.with_store(move |store| store.plan(id)).await {
                Ok(Some(plan)) => Some((plan.made, plan.id)),
                Ok(None) => return bad(format!("?after={id}: there is no such plan")),
                Err(problem) => return unavailable(&problem),
            },
            Err(problem) => return bad(format!("?after: {problem}")),
        };
        let wanted = PlanQuery { open, incident, after, limit };
        match self.with_store(move |store| store.plans(&wanted)).await {
            Ok(plans) => json(&plans),
            Err(problem) => unavailable(&problem),
        }
    }

    pub(super) async fn plan(&self, id: &str) -> Answer {
        let id = match id.parse::<PlanId>() {
            Ok(id) => id,
            Err(problem) => return bad(problem.to_string()),
        };
        match self.with_store(move |store| store.plan(id)).await {
            Ok(Some(plan)) => json(&plan),
            Ok(None) => error(StatusCode::NOT_FOUND, format!("no plan {id}; see /api/v1/plans")),
            Err(problem) => unavailable(&problem),
        }
    }

    /// What connected edges can do.
    pub(super) async fn actions(&self) -> Answer {
        let mut reports = self.sessions.reports();
        reports.extend(self.agents_elsewhere().await);
        let all = reports.into_iter().filter(|report| !report.offers.is_empty());
        json(
            &all.map(|report| OffersReport { agent: report.agent, offers: report.offers })
                .collect::<Vec<_>>(),
        )
    }

    /// What is known of incidents, and whether nothing is to be done.
    pub(super) async fn patterns(&self) -> Answer {
        match self.learnt().await {
            Ok(knowledge) => {
                let pattern = |pattern: &larnax_decide::Pattern| PatternReport {
                    name: pattern.name.clone(),
                    seen: pattern.seen,
                    actions: knowledge.experience.of(&pattern.name),
                };
                json(&PatternsReport {
                    frozen_by: knowledge.frozen.as_ref().map(|frozen| frozen.by.clone()),
                    silences: knowledge.silences.iter().map(SilenceReport::from).collect(),
                    frozen_at: knowledge.frozen.as_ref().map(|frozen| frozen.at),
                    patterns: knowledge.patterns.all().iter().map(pattern).collect(),
                })
            }
            Err(problem) => unavailable(&problem),
        }
    }

    /// `?subject=ID&limit=N&before=NUMBER`.
    pub(super) async fn audit(&self, query: &Query<'_>) -> Answer {
        let limit = match limit(query) {
            Ok(limit) => limit,
            Err(message) => return bad(message),
        };
        let before = match query.first("before").map(|text| text.parse::<u64>()).transpose() {
            Ok(before) => before,
            Err(_) => return bad("?before: expected the number of an entry".to_owned()),
        };
        let subject = query.first("subject");
        let wanted = AuditQuery { subject, before, limit };
        match self.with_store(move |store| store.audit(&wanted)).await {
            Ok(entries) => json(&entries.into_iter().map(AuditReport::from).collect::<Vec<_>>()),
            Err(problem) => unavailable(&problem),
        }
    }
}
