//! Who is there, who calls whom, and what a request costs each.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ShopError;

/// One of the four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// What customers see.
    Web,
    /// Takes orders.
    Orders,
    /// Knows what there is, and puts it aside.
    Stock,
    /// Charges a card.
    Pay,
}

/// What a service does for one path.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its path.
    pub(crate) path: &'static str,
    /// How often its work is done, see `work`: about 50 µs each on a machine of 2020.
    pub(crate) work: u32,
    /// The median time it waits for what is not in the shop (a disk, a bank), in milliseconds.
    pub(crate) wait_ms: f64,
    /// What it calls, one after the other.
    pub(crate) calls: &'static [(Service, &'static str)],
}

const WEB: &[Route] = &[
    Route { path: "/", work: 6, wait_ms: 1.0, calls: &[(Service::Stock, "/items")] },
    Route {
        path: "/checkout",
        work: 6,
        wait_ms: 1.0,
        calls: &[(Service::Stock, "/items"), (Service::Orders, "/orders")],
    },
];
const ORDERS: &[Route] = &[Route {
    path: "/orders",
    work: 8,
    wait_ms: 2.0,
    calls: &[(Service::Stock, "/reserve"), (Service::Pay, "/charge")],
}];
const STOCK: &[Route] = &[
    Route { path: "/items", work: 5, wait_ms: 2.0, calls: &[] },
    Route { path: "/reserve", work: 5, wait_ms: 4.0, calls: &[] },
];
const PAY: &[Route] = &[Route { path: "/charge", work: 16, wait_ms: 8.0, calls: &[] }];

impl Service {
    /// All of them, callers first.
    pub const ALL: [Self; 4] = [Self::Web, Self::Orders, Self::Pay, Self::Stock];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Orders => "orders",
            Self::Stock => "stock",
            Self::Pay => "pay",
        }
    }

    /// The id of its component, `service/shop/NAME`.
    pub fn component(self) -> String {
        format!("service/shop/{}", self.name())
    }

    /// Whom it calls.
    pub fn calls(self) -> Vec<Self> {
        let all = self.routes().iter().flat_map(|route| route.calls).map(|(callee, _)| *callee);
        Self::ALL.into_iter().filter(|service| all.clone().any(|callee| callee == *service)).collect()
    }

    pub(crate) const fn routes(self) -> &'static [Route] {
        match self {
            Self::Web => WEB,
            Self::Orders => ORDERS,
            Self::Stock => STOCK,
            Self::Pay => PAY,
        }
    }

    /// How long its callers wait for it. Longer than what it calls may take together.
    pub(crate) const fn patience(self) -> Duration {
        match self {
            Self::Web => Duration::from_millis(2500),
            Self::Orders => Duration::from_millis(1200),
            Self::Stock | Self::Pay => Duration::from_millis(500),
        }
    }

    /// Its place in arrays with an entry for each.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = ShopError;

    fn from_str(text: &str) -> Result<Self, ShopError> {
        Self::ALL.into_iter().find(|service| service.name() == text).ok_or_else(|| {
            ShopError::Order(format!("the shop has no service `{text}`: expected web, orders, stock or pay"))
        })
    }
}

/// What a process of the shop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// A service.
    Service(Service),
    /// The load generator.
    Load,
}

impl Role {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service(service) => service.name(),
            Self::Load => "load",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.name().to_owned()
    }
}

impl TryFrom<String> for Role {
    type Error = ShopError;

    fn try_from(text: String) -> Result<Self, ShopError> {
        if text == Self::Load.name() { Ok(Self::Load) } else { text.parse().map(Self::Service) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_are_those_of_the_picture() {
        let calls = |service: Service| service.calls().iter().map(|callee| callee.name()).collect::<Vec<_>>();
        assert_eq!(calls(Service::Web), ["orders", "stock"]);
        assert_eq!(calls(Service::Orders), ["pay", "stock"]);
        assert!(calls(Service::Stock).is_empty() && calls(Service::Pay).is_empty());
    }

    #[test]
    fn every_call_leads_to_a_route_that_is_there() {
        for route in Service::ALL.iter().flat_map(|service| service.routes()) {
            for (callee, path) in route.calls {
                assert!(callee.routes().iter().any(|route| route.path == *path), "{callee} {path}");
            }
        }
    }

    #[test]
    fn a_caller_waits_longer_than_its_own_calls_may_take() {
        for service in Service::ALL {
            for route in service.routes() {
                let calls: Duration = route.calls.iter().map(|(callee, _)| callee.patience()).sum();
                assert!(service.patience() > calls, "{service}{}", route.path);
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for service in Service::ALL {
            assert_eq!(service.name().parse::<Service>().unwrap(), service);
            assert_eq!(serde_json::to_string(&Role::Service(service)).unwrap(), format!("\"{service}\""));
        }
        assert_eq!(serde_json::from_str::<Role>("\"load\"").unwrap(), Role::Load);
        assert!("shelf".parse::<Service>().unwrap_err().to_string().contains("`shelf`"));
    }
}
