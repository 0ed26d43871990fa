//! What edges have learnt, for those that come after.

#![allow(clippy::unwrap_used)]

mod support;

use larnax_session::{FromHub, Learnt, Model};
use support::{Edges, hub, on_one_thread, store};

#[test]
fn who_begins_is_told_what_one_of_its_kind_has_learnt_also_by_a_hub_that_was_started_again() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let hub = hub(&store(folder.path()));
        let mut knows = Edges::watching(&hub, "ghent", "service/ghent/pay", false).await;
        let FromHub::Learnt(component) = knows.hears_of_models().await else { panic!("expected a question") };
        assert_eq!(component.as_str(), "service/ghent/pay");
        // Nobody asked for this one.
        let other = Learnt { component: "service/ghent/web".parse().unwrap(), model: Some(Model(vec![9])) };
        knows.says_what_it_learnt(other).await;
        knows.says_what_it_learnt(Learnt { component, model: Some(Model(vec![1, 2, 3])) }).await;
        let mut begins = Edges::watching(&hub, "leuven", "service/leuven/pay", true).await;
        let FromHub::BeginWith(learnt) = begins.hears_of_models().await else { panic!("expected a model") };
        assert_eq!(learnt.component.as_str(), "service/leuven/pay");
        assert_eq!(learnt.model, Some(Model(vec![1, 2, 3])));
    });
    on_one_thread(async {
        let hub = hub(&support::copy(folder.path()));
        let mut begins = Edges::watching(&hub, "bruges", "service/bruges/pay", true).await;
        let FromHub::BeginWith(learnt) = begins.hears_of_models().await else { panic!("expected a model") };
        assert_eq!(learnt.model, Some(Model(vec![1, 2, 3])));
    });
}
