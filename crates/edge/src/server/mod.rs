//! The agent's own HTTP server: health, metrics, the API, and the page where the program brings one.

pub mod api;
mod metrics;
#[cfg(feature = "openapi")]
pub mod openapi;
mod routes;

use std::cell::RefCell;
use std::rc::Rc;

use larnax_serve::hyper::body::Bytes;
use larnax_serve::hyper::http::request::Parts;
use larnax_serve::{Answer, Caller, Handler, LocalFuture, Stream};
pub use larnax_serve::{Page, Pages};

use crate::agent::Agent;

/// What answers for an agent.
pub(crate) struct Answers {
    pub agent: Rc<RefCell<Agent>>,
    /// The page, where the program has one.
    pub pages: Option<Pages>,
    /// Answers at paths of `/api/` that are not the agent's: the hub's, where it is in this process.
    pub others: Option<Rc<dyn Handler>>,
}

impl Handler for Answers {
    fn answer<'a>(&'a self, head: &'a Parts, body: Bytes) -> LocalFuture<'a, Answer> {
        let path = head.uri.path();
        match self.others.as_ref().filter(|_| path.starts_with("/api/") && !routes::is_own(path)) {
            Some(others) => others.answer(head, body),
            None => Box::pin(async move { routes::answer(head, &body, self) }),
        }
    }

    fn has_page(&self, path: &str) -> bool {
        self.pages.is_some_and(|pages| pages(path).is_some())
    }

    fn max_body(&self, path: &str) -> usize {
        let others = self.others.as_ref().filter(|_| !routes::is_own(path));
        others.map_or(64 << 10, |others| others.max_body(path))
    }

    fn upgrade(&self, head: &Parts) -> Option<Answer> {
        self.others.as_ref().and_then(|others| others.upgrade(head))
    }

    fn go_on(self: Rc<Self>, stream: Stream, caller: Option<Caller>) -> LocalFuture<'static, ()> {
        match &self.others {
            Some(others) => Rc::clone(others).go_on(stream, caller),
            None => Box::pin(async {}),
        }
    }
}
