//! The load generator: customers who come when they come, whether or not those before them were served.

use std::cell::{Cell, RefCell};
use std::f64::consts::TAU;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::admin::Sent;
use crate::options::ServeOptions;
use crate::pool::Pool;
use crate::random::Random;
use crate::{Service, ShopError};

/// The most requests under way; whoever comes then goes away again.
const MOST_UNDER_WAY: usize = 64;
/// Arrivals that are later than this are given up.
const MOST_LATE: Duration = Duration::from_secs(1);
/// The bounds of its rate, in requests a second.
const LEAST_PER_SECOND: f64 = 0.1;
const MOST_PER_SECOND: f64 = 200.0;
/// A day of the shop: traffic swells and ebbs over this time.
const DAY: f64 = 1200.0;
/// By how much of its mean.
const SWELL: f64 = 0.2;
/// The share of visits that buy.
const BUYERS: f64 = 0.3;
/// The bound of a step in traffic, as a factor.
const MOST_FACTOR: f64 = 3.0;
/// The longest step in traffic.
const LONGEST_STEP: Duration = Duration::from_secs(600);

/// Sends requests to `web`.
pub(crate) struct Load {
    web: Pool,
    mean: f64,
    /// Where in the day it begins, in seconds: with the seed, so that no two runs look the same.
    morning: f64,
    began: Instant,
    random: RefCell<Random>,
    under_way: Cell<usize>,
    requests: Cell<u64>,
    failed: Cell<u64>,
    skipped: Cell<u64>,
    /// So many times the usual, until then.
    step: Cell<(f64, Instant)>,
}

/// The rate, if it is within its bounds.
pub(crate) fn check_rate(rate: f64) -> Result<f64, ShopError> {
    if (LEAST_PER_SECOND..=MOST_PER_SECOND).contains(&rate) {
        return Ok(rate);
    }
    Err(ShopError::Order(format!(
        "found a rate of {rate} requests a second, expected {LEAST_PER_SECOND} to {MOST_PER_SECOND}"
    )))
}

impl Load {
    /// # Errors
    /// When it isn't told where `web` is, or its rate is out of bounds.
    pub(crate) fn new(options: &ServeOptions) -> Result<Self, ShopError> {
        let web = options.calls.get(&Service::Web).copied();
        let web =
            web.ok_or_else(|| ShopError::Order("the load generator needs to know where web is".to_owned()))?;
        let mean = check_rate(options.requests_per_second)?;
        let mut random = Random::new(options.seed, "load");
        Ok(Self {
            web: Pool::new(web, Service::Web.patience()),
            mean,
            morning: DAY * random.unit(),
            began: Instant::now(),
            random: RefCell::new(random),
            under_way: Cell::default(),
            requests: Cell::default(),
            failed: Cell::default(),
            skipped: Cell::default(),
            step: Cell::new((1.0, Instant::now())),
        })
    }

    /// Sends until it is dropped.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut next = Instant::now();
        loop {
            let wait = self.random.borrow_mut().exponential(1.0 / self.rate());
            // Not from when the last one was really sent: who is late must not slow down those who follow.
            next += Duration::from_secs_f64(wait.min(10.0));
            // Except after the machine slept: nobody has waited for that long.
            next = next.max(Instant::now() - MOST_LATE);
            sleep_until(next).await;
            if self.under_way.get() >= MOST_UNDER_WAY {
                self.skipped.set(self.skipped.get() + 1);
                continue;
            }
            self.under_way.set(self.under_way.get() + 1);
            tokio::task::spawn_local(Rc::clone(&self).visit());
        }
    }

    async fn visit(self: Rc<Self>) {
        let buys = self.random.borrow_mut().happens(BUYERS);
        self.requests.set(self.requests.get() + 1);
        let visit = self.web.call(if buys { "/checkout" } else { "/" }, b"{\"customer\":1}");
        if visit.await.is_err() {
            self.failed.set(self.failed.get() + 1);
        }
        self.under_way.set(self.under_way.get() - 1);
    }

    /// What it aims at now, in requests a second.
    fn rate(&self) -> f64 {
        let (factor, until) = self.step.get();
        let factor = if Instant::now() < until { factor } else { 1.0 };
        let hour = self.morning + self.began.elapsed().as_secs_f64();
        self.mean * factor * (1.0 + SWELL * (TAU * hour / DAY).sin())
    }

    /// Changes the traffic for a time.
    ///
    /// # Errors
    /// Beyond its bounds.
    pub(crate) fn step<E>(&self, factor: f64, time: Result<Duration, E>) -> Result<Sent, ShopError> {
        let time = time.ok().filter(|time| *time <= LONGEST_STEP);
        match time {
            Some(time) if (0.0..=MOST_FACTOR).contains(&factor) && factor > 0.0 => {
                self.step.set((factor, Instant::now() + time));
                Ok(self.sent())
            }
            _ => Err(ShopError::Order(format!(
                "traffic: expected a factor above 0 and at most {MOST_FACTOR}, for at most {} s",
                LONGEST_STEP.as_secs()
            ))),
        }
    }

    pub(crate) fn sent(&self) -> Sent {
        Sent {
            requests: self.requests.get(),
            failed: self.failed.get(),
            skipped: self.skipped.get(),
            requests_per_second: self.rate(),
        }
    }
}
