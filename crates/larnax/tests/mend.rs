//! What mends the shop, and what doesn't.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use larnax_shop::{Active, Fault, Mended, Order, Remedy, Role, Service, Shop};
use support::shop::{Background, faults, get, metric, open, order, wait};
use support::{print, run, stderr};

fn active(shop: &Shop, service: Service) -> Vec<Active> {
    shop.report(Role::Service(service)).unwrap().faults
}

fn names(faults: &[Active]) -> Vec<Fault> {
    faults.iter().map(|fault| fault.fault).collect()
}

/// So much of it that a small machine bears all of them at once.
fn mild(fault: Fault) -> Order {
    let strength = match fault {
        Fault::CpuHog | Fault::CpuLeak | Fault::ErrorRate | Fault::LinkLoss => Some(0.1),
        Fault::Stop | Fault::Freeze => None,
        _ => Some(5.0),
    };
    Order { strength, ..Order::new(fault, 300.0) }
}

#[test]
fn each_remedy_ends_what_it_would_end_in_the_real_world_and_nothing_else() {
    let (shop, _place) = open(0.5);
    let service = Service::Orders;
    for remedy in Remedy::ALL {
        for fault in Fault::ALL {
            shop.inject(service, &mild(fault)).unwrap();
        }
        let before = active(&shop, service);
        assert_eq!(before.len(), Fault::ALL.len());
        let (ends, stays): (Vec<Fault>, Vec<Fault>) =
            Fault::ALL.into_iter().partition(|fault| remedy.ends(*fault));
        let mended = shop.mend(service, remedy).unwrap();
        assert_eq!(mended, Mended { service, remedy, ended: ends });
        let after = active(&shop, service);
        assert_eq!(names(&after), stays, "{remedy}");
        for fault in &after {
            let same = before.iter().find(|one| one.fault == fault.fault).unwrap();
            assert_eq!((fault.strength, fault.to), (same.strength, same.to), "{remedy}");
            assert!(fault.ends_in <= same.ends_in, "{remedy}: {fault:?}");
        }
        shop.end_faults(service).unwrap();
    }
    assert!(shop.is_whole());
}

#[test]
fn what_a_remedy_ends_is_no_longer_felt() {
    let (shop, place) = open(0.1);
    let (web, pay) = (shop.address(Service::Web).unwrap(), shop.address(Service::Pay).unwrap());
    let took = |path| {
        let began = Instant::now();
        assert_eq!(get(web, path).0, 200);
        began.elapsed()
    };
    // The delay is around its number, and a request without it takes much less on any machine, sooner or later.
    let felt = Duration::from_millis(350);
    let slow = Order { to: Some(Service::Orders), ..order(Fault::SlowDependency, 60.0, 600.0) };
    shop.inject(Service::Web, &slow).unwrap();
    assert!(took("/checkout") > felt);
    shop.mend(Service::Web, Remedy::Restart).unwrap();
    assert!(took("/checkout") > felt, "a restart does not make the way shorter");
    shop.mend(Service::Web, Remedy::Reroute).unwrap();
    wait("a short way", || took("/checkout") < felt);

    shop.inject(Service::Pay, &order(Fault::ErrorRate, 60.0, 1.0)).unwrap();
    assert_eq!(get(pay, "/charge").0, 500);
    shop.mend(Service::Pay, Remedy::Restart).unwrap();
    assert_eq!(get(pay, "/charge").0, 500, "the same release starts again");
    shop.mend(Service::Pay, Remedy::RollBack).unwrap();
    assert_eq!(get(pay, "/charge").0, 200);

    for fault in [Fault::Stop, Fault::Freeze] {
        shop.inject(Service::Pay, &Order::new(fault, 60.0)).unwrap();
        wait("silence", || get(web, "/checkout").0 != 200);
        shop.mend(Service::Pay, Remedy::Restart).unwrap();
        assert_eq!(get(pay, "/charge").0, 200);
        wait("customers who are served", || get(web, "/checkout").0 == 200);
        // Neither those who went away nor those whose service was started again are under way for ever.
        for service in [Service::Web, Service::Pay] {
            wait("nothing under way", || metric(&shop, service, "http_requests_in_flight") == 0.0);
        }
    }

    let fill = place.path().join("shop/data/stock/fill");
    shop.inject(Service::Stock, &order(Fault::DiskFill, 60.0, 200.0)).unwrap();
    wait("a full disk", || metric(&shop, Service::Stock, "data_folder_bytes") > 1e6);
    let before = metric(&shop, Service::Stock, "service_restarts_total");
    shop.mend(Service::Stock, Remedy::CleanUp).unwrap();
    assert!(!fill.exists() && metric(&shop, Service::Stock, "data_folder_bytes") < 1e5);
    assert_eq!(metric(&shop, Service::Stock, "service_restarts_total"), before);
}

#[test]
fn a_service_that_is_started_again_keeps_what_lies_outside_of_it_until_its_deadline() {
    let (shop, place) = open(0.1);
    let (stock, fill) = (Service::Stock, place.path().join("shop/data/stock/fill"));
    let size = || fs::metadata(&fill).map_or(0, |file| file.len());
    shop.inject(stock, &order(Fault::DiskFill, 300.0, 200.0)).unwrap();
    shop.inject(stock, &order(Fault::LinkDelay, 300.0, 300.0)).unwrap();
    wait("a file", || size() > 0);
    for _ in 0..2 {
        let (bytes, before) = (size(), active(&shop, stock));
        assert_eq!(shop.mend(stock, Remedy::Restart).unwrap().ended, []);
        let after = active(&shop, stock);
        assert_eq!(names(&after), [Fault::DiskFill, Fault::LinkDelay]);
        assert!(after.iter().zip(&before).all(|(after, before)| after.ends_in < before.ends_in));
        assert!(size() >= bytes && metric(&shop, stock, "data_folder_bytes") >= bytes as f64);
        wait("more of it", || size() > bytes);
        let began = Instant::now();
        assert_eq!(get(shop.address(stock).unwrap(), "/items").0, 200);
        assert!(began.elapsed() > Duration::from_millis(200));
    }
    shop.end_faults(stock).unwrap();
    assert!(!fill.exists());

    shop.inject(stock, &order(Fault::DiskFill, 3.0, 20.0)).unwrap();
    shop.inject(stock, &order(Fault::LinkDelay, 3.0, 300.0)).unwrap();
    shop.mend(stock, Remedy::Restart).unwrap();
    wait("the deadline", || faults(&shop, stock) == 0);
    assert!(!fill.exists());
    // And it is over for the lives to come.
    shop.mend(stock, Remedy::Restart).unwrap();
    assert_eq!((faults(&shop, stock), fill.exists()), (0, false));
    assert_eq!(shop.report(Role::Service(stock)).unwrap().restarts, 4);
}

#[test]
fn two_who_mend_at_once_are_both_told_when_it_serves_again() {
    let (shop, _place) = open(5.0);
    std::thread::scope(|scope| {
        let mend = || {
            for _ in 0..3 {
                shop.mend(Service::Pay, Remedy::Restart).unwrap();
            }
        };
        scope.spawn(mend);
        scope.spawn(mend);
    });
    assert_eq!(get(shop.address(Service::Pay).unwrap(), "/charge").0, 200);
    assert!((3..=6).contains(&shop.report(Role::Service(Service::Pay)).unwrap().restarts));
}

#[test]
fn the_command_says_what_it_ended_and_nothing_is_left_when_the_shop_is_down() {
    let place = Background(tempfile::tempdir().unwrap());
    let folder = place.0.path();
    let mend = ["shop", "mend", "restart", "--on", "pay", "--state", "."];
    let none = run(folder, &mend);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("larnax shop up"), "{}", stderr(&none));

    let up = print(folder, &["shop", "up", "--port", "0", "--rate", "1", "--state", "."]);
    assert!(up.contains("larnax shop mend restart --on orders --state "), "{up}");
    assert_eq!(print(folder, &mend), "pay was started again; this ended nothing.\n");
    for fault in ["cpu-hog", "disk-fill"] {
        print(folder, &["inject", fault, "--on", "pay", "--for", "60s", "--state", "."]);
    }
    let would = print(folder, &[&mend[..], &["--dry-run"]].concat());
    assert_eq!(would, "On pay, restart can be done: it starts the service again.\n");
    assert!(print(folder, &["shop", "status", "--state", "."]).contains("cpu-hog"));
    assert_eq!(print(folder, &mend), "pay was started again; this ended cpu-hog.\n");
    let status = print(folder, &["shop", "status", "--state", "."]);
    assert!(status.contains("disk-fill") && !status.contains("cpu-hog"), "{status}");

    // What the agent's config says is done as it is written there.
    let yaml = fs::read_to_string(folder.join("shop/larnax.yaml")).unwrap();
    let (config, warnings) = larnax_spec::Config::from_yaml(&yaml, "larnax.yaml").unwrap();
    assert_eq!((warnings.len(), config.actions.len()), (0, Remedy::ALL.len()));
    for action in &config.actions {
        let command = action.command.as_ref().unwrap();
        for arguments in [&command.dry_run, &command.run] {
            let [program, arguments @ ..] = &arguments[..] else { panic!("{action:?}") };
            let arguments = arguments.iter().map(|one| one.replace("{name}", "pay"));
            let output = Command::new(program).args(arguments).env_clear().output().unwrap();
            assert!(output.status.success(), "{action:?}: {}", stderr(&output));
        }
    }
    assert!(!print(folder, &["shop", "status", "--state", "."]).contains("disk-fill"));

    print(folder, &["inject", "disk-fill", "--on", "pay", "--for", "60s", "--state", "."]);
    print(folder, &mend);
    assert!(print(folder, &["shop", "down", "--state", "."]).contains("5 processes ended"));
    assert!(fs::read_dir(folder).unwrap().next().is_none());
}

#[test]
fn a_service_that_is_gone_is_said_to_be() {
    let (shop, _place) = open(0.1);
    let pay = shop.processes().iter().find(|process| process.role == Role::Service(Service::Pay)).unwrap();
    assert!(Command::new("kill").args(["-9", &pay.pid.to_string()]).status().unwrap().success());
    wait("its end", || !pay.lives());
    let error = shop.mend(Service::Pay, Remedy::Restart).unwrap_err().to_string();
    assert!(error.contains("pay does not answer: it is not running"), "{error}");
}

#[test]
fn the_help_and_the_list_say_what_ends_what_and_what_is_wrong_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let help = print(folder.path(), &["shop", "mend", "--help"]);
    let list = print(folder.path(), &["inject", "--list"]);
    for fault in Fault::ALL {
        let remedy = fault.remedy();
        let line = |text: &str, begins: &str| -> String {
            text.lines().find(|line| line.trim_start().starts_with(begins)).unwrap_or_default().to_owned()
        };
        assert!(line(&help, &format!("{remedy} ")).contains(fault.name()), "{fault}: {help}");
        assert!(line(&list, &format!("{fault} ")).contains(remedy.name()), "{fault}: {list}");
    }
    let refused = run(folder.path(), &["shop", "mend", "prayer", "--on", "pay"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("restart, clean-up, reroute, roll-back"), "{}", stderr(&refused));
    for wrong in
        [&["shop", "mend"][..], &["shop", "mend", "restart"], &["shop", "mend", "restart", "--on", "x"]]
    {
        assert_eq!(run(folder.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
}
