//! `larnax hub` with what can't be: it says so, ends, and shows no password.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use support::{run, stderr};

#[test]
fn what_can_not_be_ends_with_a_sentence_that_shows_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    file("url", "http://guest:hush@broker/\n");
    file("bad.yaml", "alerts: {webhook: []}\n");
    file("notes.txt", "my notes, not a database");
    let nobody = "postgres://larnax:hush@127.0.0.1:1/hub?connect_timeout=1";
    for (arguments, expected) in [
        (&["--rabbitmq-url-file", "url"][..], "expected amqp://USER:PASSWORD@HOST"),
        (&["--rabbitmq-url-file", "nowhere"], "nowhere"),
        (&["--config", "bad.yaml"], "webhooks"),
        (&["--store", nobody], "postgres://127.0.0.1:1/hub"),
        (&["--store", "mysql://larnax:hush@db"], "expected a file's path or postgres://"),
        (&["--listen", "0.0.0.0:0"], "expected --token-file FILE"),
        (&["check", "--store", "notes.txt"], "notes.txt"),
        (&["backup", "copy.db", "--store", "absent.db"], "absent.db"),
        (&["backup", "copy.db", "--store", nobody], "pg_dump"),
        (&["restore", "notes.txt"], "notes.txt"),
    ] {
        let all = [&["hub", "--listen", "127.0.0.1:0", "--state", "state"], arguments].concat();
        // Given twice, an option is an error of its own.
        let twice = arguments.contains(&"--listen");
        let all = if twice { [&["hub", "--state", "state"], arguments].concat() } else { all };
        let output = run(folder.path(), &all);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(expected) && !said.contains("hush"), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("copy.db").exists());
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "my notes, not a database");
}
