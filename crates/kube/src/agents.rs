//! The agents of federations: a Deployment each in Larnax's own namespace, kept as the federations are.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::Stream;
use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use larnax_core::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deployment::{PART, WRITTEN};
use crate::federation::{Federation, FederationStatus, Federations, Key, status};
use crate::prometheus::{Asked, Hosting, reach};
use crate::targets::Targets;

/// Who changes these objects, for the API server.
const MANAGER: &str = "larnax-operator";
/// Of a Deployment's name, so that those of its pods are no longer than names may be.
const LONGEST: usize = 45;

/// How agents of federations run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agents {
    /// Larnax's own namespace.
    pub namespace: String,
    /// The operator's Deployment there: when it goes, they go.
    pub owner: String,
    /// What their names begin with.
    pub prefix: String,
    /// Their labels besides; the same ones select what is ours.
    pub labels: BTreeMap<String, String>,
    /// Their image.
    pub image: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub pull_policy: String,
    /// Secrets that the image's registry wants.
    #[serde(default)]
    pub pull_secrets: Vec<String>,
    /// Where the hub and the operator are, as `https://larnax-hub.larnax.svc:7677`.
    pub hub: String,
    /// See `hub`.
    pub operator: String,
    /// The Secret with what they bring to both.
    pub secret: String,
    /// How often metrics are collected where a federation doesn't say.
    pub interval: String,
    /// What each may use, as in a container's `resources`.
    pub resources: Value,
    /// How a Prometheus runs beside one, and which others may be asked.
    #[serde(default)]
    pub prometheus: Hosting,
}

/// What is wrong with a federation: a word, and a sentence for a person.
type Trouble = (&'static str, String);

/// What is to be done about the Deployments.
#[derive(Debug, Default, PartialEq)]
struct Work {
    /// To be written, by name.
    write: Vec<(String, Value)>,
    /// To be deleted.
    delete: Vec<String>,
}

/// By name.
type Deployments = BTreeMap<String, DynamicObject>;

/// The Deployments of agents that there are, as they were seen last.
#[derive(Debug, Default)]
pub(crate) struct There {
    all: Deployments,
    coming: Deployments,
    complete: bool,
    /// The operator's own, as an owner of others. Where it is made anew, so is this process.
    owner: Option<Value>,
}

impl There {
    /// Takes in what was seen. While all come anew, what was known before holds until they are complete.
    pub(crate) fn see(&mut self, event: watcher::Event<DynamicObject>) {
        match event {
            watcher::Event::Apply(one) => {
                self.all.insert(one.name_any(), one);
            }
            watcher::Event::Delete(one) => {
                self.all.remove(&one.name_any());
            }
            watcher::Event::Init => self.coming.clear(),
            watcher::Event::InitApply(one) => {
                self.coming.insert(one.name_any(), one);
            }
            watcher::Event::InitDone => {
                self.all = std::mem::take(&mut self.coming);
                self.complete = true;
            }
        }
    }

    /// Whether it is known which there are.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Agents {
    /// All that happens to the Deployments of agents.
    pub(crate) fn watched(
        &self,
        client: &Client,
    ) -> impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + use<> {
        let config = watcher::Config::default().labels(&self.selector());
        watcher(self.deployments(client), config).default_backoff()
    }

    fn deployments(&self, client: &Client) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<Deployment>(&());
        Api::namespaced_with(client.clone(), &self.namespace, &kind)
    }

    /// Makes what runs and what federations say what it should be. Nothing is asked or written where that is so already. What is
    /// refused of one federation stands in its status and keeps no other waiting.
    ///
    /// # Errors
    /// A sentence for a person. The next time it is tried again.
    pub(crate) async fn keep(
        &self,
        client: &Client,
        federations: &RefCell<Federations>,
        targets: &RefCell<Targets>,
        there: &mut There,
        now: Timestamp,
    ) -> Result<(), String> {
        let deployments = self.deployments(client);
        let owner = match &there.owner {
            Some(owner) => owner,
            None => {
                let owner = deployments.get(&self.owner).await;
                let owner = owner.map_err(|error| format!("the Deployment {}: {error}", self.owner))?;
                there.owner.insert(json!({
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": self.owner, "uid": owner.uid().unwrap_or_default(),
                }))
            }
        };
        let work = self.work(&federations.borrow(), &there.all, owner);
        let apply = PatchParams::apply(MANAGER).force();
        let mut troubles = self.out_of_reach(federations).await;
        for (name, deployment) in work.write {
            match deployments.patch(&name, &apply, &Patch::Apply(deployment)).await {
                Ok(written) => {
                    // Before the watch tells of it, so that it is not written twice.
                    there.see(watcher::Event::Apply(written));
                    tracing::info!(deployment = name, "an agent of a federation");
                }
                Err(error) => {
                    troubles.insert(name, ("AgentRefused", error.to_string()));
                }
            }
        }
        for name in &work.delete {
            match deployments.delete(name, &Default::default()).await {
                Err(kube::Error::Api(answer)) if answer.code == 404 => {}
                deleted => {
                    deleted.map_err(|error| format!("the Deployment {name} can't be deleted: {error}"))?;
                    tracing::info!(deployment = name, "no federation wants this agent any more");
                }
            }
        }
        let statuses = self.statuses(&federations.borrow(), &targets.borrow(), &there.all, &troubles, now);
        for ((namespace, name), status) in statuses {
            let api: Api<Federation> = Api::namespaced(client.clone(), &namespace);
            let patch = Patch::Merge(json!({"status": status}));
            match api.patch_status(&name, &PatchParams::default(), &patch).await {
                Err(kube::Error::Api(answer)) if answer.code == 404 => {}
                Err(error) => {
                    return Err(format!("the status of {namespace}/{name} can't be written: {error}"));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// What all Deployments of agents have.
    fn selector(&self) -> String {
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([PART]);
        labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    }

    /// Whom a federation's agent asks; or what is wrong with what it says.
    fn asked<'a>(&'a self, federation: &'a Federation, selector: Option<&str>) -> Result<Asked<'a>, Trouble> {
        if let Some(problem) = selector {
            return Err(("BadSelector", problem.to_owned()));
        }
        let Some(prometheus) = &federation.spec.prometheus else { return Ok(Asked::Members) };
        prometheus.asked(&self.prometheus).map_err(|problem| ("BadPrometheus", problem))
    }

    /// Those whose Prometheus takes no connection, by the name of their agent.
    async fn out_of_reach(&self, federations: &RefCell<Federations>) -> BTreeMap<String, Trouble> {
        let mut urls = Vec::new();
        for (key, federation, problem) in federations.borrow().all() {
            if let Ok(Asked::Existing { url, .. }) = self.asked(federation, problem) {
                urls.push((self.name(key, federation), url.to_owned()));
            }
        }
        let tried = urls.into_iter().map(async |(name, url)| {
            let problem = reach(&url).await.err()?;
            Some((name, ("PrometheusUnreachable", problem)))
        });
        join_all(tried).await.into_iter().flatten().collect()
    }

    fn work(&self, federations: &Federations, there: &Deployments, owner: &Value) -> Work {
        let mut work = Work::default();
        let mut wanted = Vec::new();
        for (key, federation, problem) in federations.all() {
            let name = self.name(key, federation);
            let Ok(asked) = self.asked(federation, problem) else {
                // As it was before, if there was one.
                wanted.push(name);
                continue;
            };
            let deployment = self.deployment(&name, key, federation, &asked, owner);
            let written = &deployment["metadata"]["annotations"][WRITTEN];
            let is_there = there
                .get(&name)
                .is_some_and(|one| one.annotations().get(WRITTEN).map(String::as_str) == written.as_str());
            wanted.push(name.clone());
            if !is_there {
                work.write.push((name, deployment));
            }
        }
        work.delete = there.keys().filter(|name| !wanted.contains(name)).cloned().collect();
        work
    }

    /// Those that are not as they are told now.
    fn statuses(
        &self,
        federations: &Federations,
        targets: &Targets,
        there: &Deployments,
        troubles: &BTreeMap<String, Trouble>,
        now: Timestamp,
    ) -> Vec<(Key, FederationStatus)> {
        let now = now.to_string();
        let mut changed = Vec::new();
        for (key, federation, problem) in federations.all() {
            let name = self.name(key, federation);
            let ready = there.get(&name).is_some_and(is_ready);
            let members = targets.of((&key.0, &key.1), federations).count();
            let agent = format!("{}/{name}", self.namespace);
            let wrong = self.asked(federation, problem).err();
            let trouble = wrong.as_ref().or_else(|| troubles.get(&name));
            let trouble = trouble.map(|(reason, message)| (*reason, message.as_str()));
            let status = status(federation, &agent, members, ready, trouble, &now);
            if federation.status.as_ref() != Some(&status) {
                changed.push((key.clone(), status));
            }
        }
        changed
    }

    /// A Deployment's name: of one that was made anew under the same name, another one.
    fn name(&self, (namespace, name): &Key, federation: &Federation) -> String {
        let mut readable = format!("{}-{namespace}-{name}", self.prefix).replace('.', "-");
        readable.truncate(LONGEST);
        let uid = federation.uid().unwrap_or_default();
        format!("{}-{}", readable.trim_end_matches('-'), uid.get(..8).unwrap_or(&uid))
    }
}

/// Whether what was written last runs.
fn is_ready(deployment: &DynamicObject) -> bool {
    let status = &deployment.data["status"];
    status["observedGeneration"].as_i64() == deployment.metadata.generation
        && status["updatedReplicas"].as_i64() == Some(1)
        && status["readyReplicas"].as_i64() == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> Agents {
        serde_json::from_value(json!({
            "namespace": "larnax", "owner": "larnax-operator", "prefix": "larnax", "labels": {"app.kubernetes.io/name": "larnax"},
            "image": "larnax-edge", "pull_policy": "Never", "hub": "https://hub", "operator": "https://operator",
            "secret": "larnax", "interval": "5s", "resources": {},
        }))
        .unwrap()
    }

    fn federation(name: &str, uid: &str, interval: Option<&str>) -> Federation {
        serde_json::from_value(json!({
            "apiVersion": "larnax.io/v1alpha1", "kind": "Federation",
            "metadata": {"namespace": "shop", "name": name, "uid": uid},
            "spec": {"selector": {"matchLabels": {"app": "pay"}}, "interval": interval},
        }))
        .unwrap()
    }

    fn work(federations: &[Federation], there: &[DynamicObject]) -> Work {
        let mut all = Federations::default();
        federations.iter().for_each(|one| all.changed(one.clone()));
        let mut known = There::default();
        known.see(watcher::Event::Init);
        there.iter().for_each(|one| known.see(watcher::Event::InitApply(one.clone())));
        known.see(watcher::Event::InitDone);
        agents().work(&all, &known.all, &json!({"uid": "1"}))
    }

    fn written(work: &Work) -> Vec<DynamicObject> {
        work.write.iter().map(|(_, deployment)| serde_json::from_value(deployment.clone()).unwrap()).collect()
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone_and_what_nobody_wants_any_more_goes() {
        let (tills, stores) = (federation("tills", "1234abcd-5", None), federation("stores", "99", None));
        let first = work(&[tills.clone(), stores.clone()], &[]);
        let there = written(&first);
        assert_eq!((there.len(), first.delete.len()), (2, 0));
        assert_eq!(work(&[tills.clone(), stores.clone()], &there), Work::default());

        let faster = work(&[federation("tills", "1234abcd-5", Some("1s")), stores.clone()], &there);
        assert_eq!((faster.write.len(), faster.delete.len()), (1, 0));
        assert_eq!(work(&[stores], &there).delete, ["larnax-shop-tills-1234abcd"]);
        // Made anew under the same name: what was learnt of others is not its own.
        let anew = work(&[federation("tills", "5678", None)], &there[1..]);
        assert_eq!((anew.write.len(), anew.delete.len()), (1, 1));
    }

    #[test]
    fn names_are_names_however_long_what_they_are_made_of() {
        let agents = agents();
        let key = ("n".repeat(63), "f.".repeat(120));
        let name = agents.name(&key, &federation("x", "1234abcd-5", None));
        assert!(name.len() <= 54 && name.ends_with("-1234abcd"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
    }

    #[test]
    fn an_agent_runs_near_its_group_where_it_can() {
        let (name, deployment) = work(&[federation("tills", "1", None)], &[]).write.remove(0);
        let spec = &deployment["spec"]["template"]["spec"];
        let near = &spec["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
        assert_eq!(near["podAffinityTerm"]["labelSelector"]["matchLabels"]["app"], "pay");
        assert_eq!(near["podAffinityTerm"]["namespaces"], json!(["shop"]));
        assert_eq!(deployment["spec"]["selector"]["matchLabels"]["larnax.io/agent"], name);
        assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["larnax.io/agent"], name);
    }
}
