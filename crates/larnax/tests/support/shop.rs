//! A shop to ask and to break.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use larnax_shop::{Fault, Order, Role, Service, Shop, ShopOptions};
use tempfile::TempDir;

use super::run;

/// A shop on free ports that ends with the test.
pub fn open(requests_per_second: f64) -> (Shop, TempDir) {
    let place = tempfile::tempdir().unwrap();
    let options = ShopOptions {
        program: env!("CARGO_BIN_EXE_larnax").into(),
        arguments: vec!["shop".to_owned(), "serve".to_owned()],
        folder: place.path().join("shop"),
        port: 0,
        seed: 7,
        requests_per_second,
        leased: true,
        acts: false,
    };
    (Shop::start(&options).unwrap(), place)
}

/// Asks for a path; the status and the body, or 0 where nobody answers in two seconds.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = ask().unwrap_or_default();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// The sum of the series whose lines begin so.
pub fn metric(shop: &Shop, service: Service, begins: &str) -> f64 {
    let (_, page) = get(shop.address(service).unwrap(), "/metrics");
    let lines = page.lines().filter(|line| line.starts_with(begins));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn faults(shop: &Shop, service: Service) -> usize {
    shop.report(Role::Service(service)).unwrap().faults.len()
}

pub fn order(fault: Fault, seconds: f64, strength: f64) -> Order {
    Order { strength: Some(strength), ..Order::new(fault, seconds) }
}

/// A shop in the background; ended even when a test fails.
pub struct Background(pub TempDir);

impl Drop for Background {
    fn drop(&mut self) {
        run(self.0.path(), &["shop", "down", "--state", "."]);
    }
}
