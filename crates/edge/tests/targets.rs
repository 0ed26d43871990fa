//! Targets that are found while the agent runs.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use larnax_edge_role::server::api::{ComponentReport, StatusReport};
use support::{Answer, get, run, start, target, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn components(n: usize) -> impl Fn(&Answer) -> bool {
    move |answer| answer.json::<StatusReport>().components == n
}

/// How often a target was scraped; none where it is not watched.
async fn scrapes(agent: SocketAddr, target: SocketAddr) -> Option<u64> {
    let all: Vec<ComponentReport> = get(agent, "/api/v1/components").await.json();
    let one = all.into_iter().find(|one| one.id.as_str().ends_with(&target.to_string()))?;
    Some(one.sources[0].collections)
}

#[test]
fn targets_in_files_come_and_go_while_the_others_are_watched_on() {
    let state = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (first, second) = (target().await, target().await);
        let file = folder.path().join("shop.json");
        let say = |targets: &str| std::fs::write(&file, format!("[{{\"targets\": [{targets}]}}]")).unwrap();
        say(&format!("\"{first}\""));
        let config = format!(
            "host: false\ninterval: 100ms\nscrape_configs: [{{job_name: shop, file_sd_configs: [{{files: ['{}'], \
             refresh_interval: 100ms}}]}}]",
            file.display()
        );
        let agent = start(&config, state.path()).await;
        until(agent, "/api/v1/status", components(1)).await;
        let mut before = 0;
        while before < 5 {
            before = scrapes(agent, first).await.unwrap();
        }
        say(&format!("\"{first}\", \"{second}\", \"nobody@here/metrics\""));
        let status: StatusReport = until(agent, "/api/v1/status", components(2)).await.json();
        assert!(status.notices.join("\n").contains("basic_auth"), "{:?}", status.notices);
        until(agent, "/api/v1/components", |_| true).await;
        assert!(scrapes(agent, first).await.unwrap() >= before, "its source was made anew");

        std::fs::write(&file, "[{").unwrap();
        let kept = until(agent, "/api/v1/status", |a| a.body.contains("stay as they were")).await;
        assert_eq!(kept.json::<StatusReport>().components, 2);
        say(&format!("\"{second}\""));
        until(agent, "/api/v1/status", components(1)).await;
        assert_eq!(scrapes(agent, first).await, None);
        say("");
        until(agent, "/api/v1/status", components(0)).await;
        assert_eq!(get(agent, "/-/ready").await.status, 200);
    });
}

/// Whoever knows the targets: answers with what it is given, and with 503 while that is nothing.
async fn inventory() -> (SocketAddr, Rc<RefCell<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let says = Rc::new(RefCell::new(String::new()));
    let said = Rc::clone(&says);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 64 << 10];
            let count = stream.read(&mut buffer).await.unwrap();
            let asked = String::from_utf8_lossy(&buffer[..count]).into_owned();
            assert!(asked.starts_with("GET /targets?site=ghent "), "{asked}");
            assert!(asked.contains("x-prometheus-refresh-interval-seconds: 1\r\n"), "{asked}");
            let body = says.borrow().clone();
            let status = if body.is_empty() { "503 Service Unavailable" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    (address, said)
}

#[test]
fn targets_from_a_url_hold_while_it_does_not_answer_also_over_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let mut config = String::new();
    run(async {
        let (first, second) = (target().await, target().await);
        let (inventory, says) = inventory().await;
        config = format!(
            "host: false\ninterval: 100ms\nscrape_configs: [{{job_name: shop, http_sd_configs: [{{url: \
             'http://{inventory}/targets?site=ghent', refresh_interval: 1s}}]}}]"
        );
        let agent = start(&config, state.path()).await;
        let status = until(agent, "/api/v1/status", |a| a.body.contains("503")).await;
        assert!(!status.body.contains("ghent"), "a query may hold secrets: {}", status.body);
        *says.borrow_mut() = format!(
            r#"[{{"targets": ["{first}"], "labels": {{"zone": "eu", "__meta_x": "y", "__metrics_path__": "/other"}}}},
                {{"targets": ["{second}"], "labels": {{"component": "service/shop/pay"}}}},
                {{"targets": ["{second}"], "labels": {{"component": "pay"}}}}]"#
        );
        let status: StatusReport = until(agent, "/api/v1/status", components(2)).await.json();
        assert!(status.notices.join("\n").contains("label component"), "{:?}", status.notices);
        let all: Vec<ComponentReport> = get(agent, "/api/v1/components").await.json();
        assert_eq!(all[0].labels.keys().collect::<Vec<_>>(), ["instance", "job", "zone"]);
        assert!(all[0].sources[0].name.ends_with("/other"), "{all:?}");
        assert_eq!(all[1].id.as_str(), "service/shop/pay");
        says.borrow_mut().clear();
        until(agent, "/api/v1/status", |a| a.body.contains("stay as they were")).await;
    });
    run(async {
        let agent = start(&config, state.path()).await;
        let status: StatusReport = get(agent, "/api/v1/status").await.json();
        assert_eq!(status.components, 2);
    });
}

/// Issue 6: asking every five seconds whether there is something new was most of what an idle agent sent.
#[test]
fn who_holds_its_answer_back_is_told_what_is_known_and_asked_again_at_once() {
    let state = tempfile::tempdir().unwrap();
    run(async {
        let (first, second) = (target().await, target().await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = format!(
            "host: false\ninterval: 100ms\nscrape_configs: [{{job_name: shop, http_sd_configs: [{{url: \
             'http://{}/targets', refresh_interval: 1h}}]}}]",
            listener.local_addr().unwrap()
        );
        let agent = start(&config, state.path()).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        let answers = [
            ("200 OK", "\"one\"", format!(r#"[{{"targets": ["{first}"]}}]"#)),
            ("304 Not Modified", "\"one\"", String::new()),
            ("200 OK", "\"two\"", format!(r#"[{{"targets": ["{first}", "{second}"]}}]"#)),
        ];
        let mut known = None;
        for (status, tag, body) in answers {
            let mut buffer = vec![0; 64 << 10];
            let count = stream.read(&mut buffer).await.unwrap();
            let asked = String::from_utf8_lossy(&buffer[..count]).into_owned();
            assert!(asked.contains("prefer: wait=200\r\n"), "{asked}");
            match known {
                None => assert!(!asked.contains("if-none-match"), "{asked}"),
                Some(tag) => assert!(asked.contains(&format!("if-none-match: {tag}\r\n")), "{asked}"),
            }
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: {tag}\r\nPreference-Applied: wait\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
            known = Some(tag);
        }
        until(agent, "/api/v1/status", components(2)).await;
    });
}
