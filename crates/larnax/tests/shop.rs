//! The shop as a user runs it, and what it leaves behind: nothing.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use larnax_shop::{Decoy, Fault, Order, Role, Service, Shop};
use support::shop::{Background, faults, get, metric, open, order, wait};
use support::{larnax, print, run, stderr};

#[test]
fn customers_are_served_and_every_service_says_so_in_its_metrics() {
    let (shop, _place) = open(40.0);
    for service in Service::ALL {
        wait("requests", || metric(&shop, service, "http_requests_total") > 5.0);
        assert_eq!(metric(&shop, service, "http_requests_total{route=\"/nowhere\""), 0.0);
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            assert!(metric(&shop, service, name) > 0.0, "{service}: {name}");
        }
        for callee in service.calls() {
            let count = format!("client_request_duration_seconds_count{{dependency=\"{callee}\"}}");
            wait("calls", || metric(&shop, service, &count) > 0.0);
        }
    }
    let sent = shop.report(Role::Load).unwrap().sent.unwrap();
    assert!(sent.requests > 5 && sent.skipped == 0, "{sent:?}");
    let config = shop.config_file();
    let said = print(config.parent().unwrap(), &["check", "larnax.yaml"]);
    assert!(
        said.contains(&format!("http://{}/metrics, every 1s (job web)", shop.address(Service::Web).unwrap()))
    );
    let ended = shop.stop().unwrap();
    assert_eq!(ended, 5);
}

#[test]
fn what_fails_below_fails_above() {
    let (shop, _place) = open(0.1);
    let web = shop.address(Service::Web).unwrap();
    assert_eq!(get(web, "/checkout").0, 200);
    assert_eq!(get(web, "/nowhere").0, 404);
    shop.inject(Service::Pay, &order(Fault::ErrorRate, 60.0, 1.0)).unwrap();
    assert_eq!((get(web, "/checkout").0, get(web, "/").0), (502, 200));
    shop.inject(Service::Stock, &order(Fault::ErrorRate, 60.0, 1.0)).unwrap();
    assert_eq!((get(web, "/checkout").0, get(web, "/").0), (502, 502));
    assert!(
        metric(&shop, Service::Web, "client_errors_total{dependency=\"stock\",reason=\"status\"}") >= 1.0
    );
    assert!(metric(&shop, Service::Orders, "http_requests_total{route=\"/orders\",status=\"502\"}") >= 1.0);

    let again = shop.inject(Service::Stock, &Order::new(Fault::ErrorRate, 1.0)).unwrap_err().to_string();
    assert!(again.contains("has error-rate already"), "{again}");
    shop.end_faults(Service::Stock).unwrap();
    shop.end_faults(Service::Pay).unwrap();
    assert_eq!((get(web, "/checkout").0, get(web, "/").0), (200, 200));

    shop.inject(Service::Pay, &order(Fault::Latency, 60.0, 5000.0)).unwrap();
    assert_eq!(get(web, "/checkout").0, 502);
    assert!(metric(&shop, Service::Orders, "http_requests_total{route=\"/orders\",status=\"504\"}") >= 1.0);
}

#[test]
fn what_a_fault_takes_is_seen_and_given_back() {
    let (shop, place) = open(2.0);
    let first = |service, name| metric(&shop, service, name);
    let (memory, files) =
        (first(Service::Orders, "process_resident_memory_bytes"), first(Service::Web, "process_open_fds"));
    let threads = first(Service::Stock, "process_threads");
    let fill = place.path().join("shop/data/stock/fill");
    let time = 1.5;
    shop.inject(Service::Orders, &order(Fault::MemoryLeak, time, 48.0)).unwrap();
    shop.inject(Service::Web, &order(Fault::FileLeak, time, 120.0)).unwrap();
    shop.inject(Service::Pay, &order(Fault::ForkFlood, time, 30.0)).unwrap();
    shop.inject(Service::Stock, &order(Fault::DiskFill, time, 8.0)).unwrap();
    wait("memory", || first(Service::Orders, "process_resident_memory_bytes") > memory + 2e7);
    wait("files", || first(Service::Web, "process_open_fds") > files + 50.0);
    wait("children", || first(Service::Pay, "child_processes ") > 3.0);
    wait("a full disk", || first(Service::Stock, "data_folder_bytes") > 3e6 && fill.is_file());
    assert_eq!(first(Service::Stock, "process_threads"), threads);
    for service in Service::ALL {
        wait("the end", || faults(&shop, service) == 0);
    }
    assert!(!fill.exists());
    wait("memory", || first(Service::Orders, "process_resident_memory_bytes") < memory + 6e6);
    wait("files", || first(Service::Web, "process_open_fds") < files + 10.0);
    wait("children", || first(Service::Pay, "child_processes ") == 0.0);

    let cpu = |service| first(service, "process_cpu_seconds_total");
    for fault in [Fault::CpuHog, Fault::CpuLeak] {
        let before = cpu(Service::Stock);
        shop.inject(Service::Stock, &order(fault, 0.8, 0.8)).unwrap();
        assert!(get(shop.address(Service::Web).unwrap(), "/").0 == 200);
        wait("the end", || faults(&shop, Service::Stock) == 0);
        let burnt = cpu(Service::Stock) - before;
        assert!(burnt > 0.1, "{fault}: {burnt}");
    }
}

#[test]
fn a_bad_link_a_slow_dependency_and_a_service_that_is_away_are_felt_and_pass() {
    let (shop, _place) = open(0.1);
    let (web, stock) = (shop.address(Service::Web).unwrap(), shop.address(Service::Stock).unwrap());
    let took = |path| {
        let began = Instant::now();
        assert_eq!(get(web, path).0, 200);
        began.elapsed()
    };
    let late = Duration::from_millis(100);
    shop.inject(Service::Stock, &order(Fault::LinkDelay, 60.0, 80.0)).unwrap();
    assert!(took("/") > late);
    shop.end_faults(Service::Stock).unwrap();
    shop.inject(Service::Stock, &order(Fault::LinkLoss, 60.0, 0.9)).unwrap();
    wait("a loss", || get(web, "/").0 == 504);
    shop.end_faults(Service::Stock).unwrap();
    let slow = Order { to: Some(Service::Stock), ..order(Fault::SlowDependency, 60.0, 150.0) };
    shop.inject(Service::Web, &slow).unwrap();
    assert!(took("/") > late);
    shop.end_faults(Service::Web).unwrap();

    shop.inject(Service::Stock, &Order::new(Fault::Stop, 60.0)).unwrap();
    wait("a closed port", || get(stock, "/metrics").0 == 0);
    assert_eq!(get(web, "/").0, 502);
    shop.end_faults(Service::Stock).unwrap();
    wait("an open port", || get(stock, "/metrics").0 == 200);
    assert_eq!(get(web, "/").0, 200);

    shop.inject(Service::Stock, &Order::new(Fault::Freeze, 2.0)).unwrap();
    wait("silence", || get(web, "/").0 == 504);
    wait("the end", || faults(&shop, Service::Stock) == 0);
    assert_eq!(get(web, "/").0, 200);
}

#[test]
fn a_decoy_changes_something_and_harms_nothing() {
    let (shop, _place) = open(10.0);
    let pay = shop.address(Service::Pay).unwrap();
    let pid = |shop: &Shop| shop.processes().iter().find(|p| p.listen == pay).unwrap().pid;
    let number = pid(&shop);
    shop.decoy(Decoy::Restart, Some(Service::Pay), 1.0).unwrap();
    wait("a restart", || shop.report(Role::Service(Service::Pay)).is_ok_and(|report| report.restarts == 1));
    wait("an open port", || metric(&shop, Service::Pay, "service_restarts_total") == 1.0);
    assert!(pid(&shop) == number && shop.is_whole());
    assert_eq!(get(pay, "/charge").0, 200);

    let rate = || shop.report(Role::Load).unwrap().sent.unwrap().requests_per_second;
    let before = rate();
    shop.decoy(Decoy::TrafficStep, None, 60.0).unwrap();
    assert!((1.25..1.35).contains(&(rate() / before)), "{} {before}", rate());
    shop.decoy(Decoy::CpuSpike, Some(Service::Web), 1.0).unwrap();
    assert_eq!(faults(&shop, Service::Web), 1);
    wait("the end of the spike", || faults(&shop, Service::Web) == 0);
}

/// Whether nothing is left of the processes that `shop.json` names.
fn processes(folder: &Path) -> Vec<(u32, u64)> {
    let shop = Shop::open(folder.join("shop")).unwrap().unwrap();
    shop.processes().iter().map(|process| (process.pid, process.started)).collect()
}

fn lives(&(pid, started): &(u32, u64)) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| {
        !rest.starts_with(['Z', 'X']) && rest.split(' ').nth(19) == Some(started.to_string().as_str())
    })
}

#[test]
fn up_twice_is_up_once_and_down_leaves_nothing() {
    let place = Background(tempfile::tempdir().unwrap());
    let folder = place.0.path();
    let none = run(folder, &["inject", "latency", "--state", "."]);
    assert!(stderr(&none).contains("larnax shop up"), "{}", stderr(&none));
    let up = ["shop", "up", "--port", "0", "--rate", "1", "--state", "."];
    let first = print(folder, &up);
    assert!(first.contains("larnax up --config /") && first.contains("/shop/larnax.yaml"), "{first}");
    let all = processes(folder);
    assert!(all.len() == 5 && all.iter().all(lives));
    assert!(print(folder, &up).contains("open already"));
    assert_eq!(processes(folder), all);

    let told = print(folder, &["inject", "latency", "--on", "pay", "--for", "30s", "--state", "."]);
    assert!(told.contains("pay has latency of 150 ms"), "{told}");
    let status = print(folder, &["shop", "status", "--state", "."]);
    assert!(status.contains("latency of 150 ms") && status.contains("load"), "{status}");
    let json = print(folder, &["shop", "status", "--state", ".", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().iter().filter(|process| process["state"] == "up").count(), 5);
    print(folder, &["inject", "--stop", "--state", "."]);
    assert!(!print(folder, &["shop", "status", "--state", "."]).contains("latency"));
    let token = fs::read_to_string(folder.join("shop/token")).unwrap();
    assert!(!json.to_string().contains(token.trim()));

    assert!(print(folder, &["shop", "down", "--state", "."]).contains("5 processes ended"));
    assert!(!all.iter().any(lives));
    assert!(fs::read_dir(folder).unwrap().next().is_none());
    assert!(print(folder, &["shop", "down", "--state", "."]).contains("No shop is open"));
}

#[test]
fn orders_need_the_token() {
    let (shop, place) = open(0.1);
    let path = place.path().join("shop/token");
    let token = fs::read_to_string(&path).unwrap();
    let admin = shop.processes()[0].admin;
    assert_eq!(get(admin, "/status").0, 401);
    for wrong in ["0", &format!("{token}0"), &token[1..]] {
        fs::write(&path, wrong).unwrap();
        let refused = shop.inject(Service::Web, &Order::new(Fault::Stop, 1.0)).unwrap_err().to_string();
        assert!(refused.contains("401"), "{refused}");
    }
    fs::write(&path, token).unwrap();
    assert_eq!(faults(&shop, Service::Web), 0);
}

#[test]
fn what_can_be_broken_is_listed_and_what_can_t_is_refused_with_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let list = print(folder.path(), &["inject", "--list"]);
    let refused = run(folder.path(), &["inject", "rust"]);
    assert_eq!(refused.status.code(), Some(2));
    for fault in Fault::ALL {
        assert!(list.contains(fault.name()) && stderr(&refused).contains(fault.name()), "{fault}");
    }
    for wrong in [&["inject"][..], &["inject", "latency", "--list"], &["inject", "--stop", "--strength", "1"]]
    {
        assert_eq!(run(folder.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
    let rate = run(folder.path(), &["shop", "up", "--rate", "NaN", "--port", "0", "--state", "."]);
    assert!(stderr(&rate).contains("expected 0.1 to 200"), "{}", stderr(&rate));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_left() {
    let place = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // The last service of the row gets this one.
    let port = taken.local_addr().unwrap().port() - 3;
    let up = ["shop", "up", "--port", &port.to_string(), "--state", "."];
    let output = run(place.path(), &up);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("stock did not start") && said.contains("--port"), "{said}");
    assert!(fs::read_dir(place.path()).unwrap().next().is_none());
}

#[test]
fn in_the_foreground_the_shop_ends_with_whoever_holds_it() {
    let place = Background(tempfile::tempdir().unwrap());
    let start = || -> Child {
        let mut command = larnax();
        command.args(["shop", "up", "--foreground", "--port", "0", "--rate", "1", "--state", "."]);
        let mut child = command.current_dir(place.0.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 16];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"The shop is open");
        child
    };
    let mut child = start();
    let all = processes(place.0.path());
    assert!(all.len() == 5 && all.iter().all(lives));
    child.kill().unwrap(); // as `kill -9` does
    child.wait().unwrap();
    wait("their end", || !all.iter().any(lives));
}
