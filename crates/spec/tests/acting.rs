//! What a person is told about actions and policies, to the letter.

use larnax_core::ComponentId;
use larnax_spec::{Config, Environment, placeholder};

/// Everything that is said about a config: errors, or warnings.
fn said(text: &str) -> String {
    match Config::from_yaml(text, "f") {
        Err(errors) => errors.to_string(),
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

fn check(table: &[(&str, &str)]) {
    for (text, message) in table {
        assert_eq!(said(text), *message, "{text}");
    }
}

#[test]
fn a_good_catalogue_is_read_without_a_word() {
    let text = "\
actions:
- {name: restart, on: [service/shop/*], restart: {pid_file: '/run/{name}.pid', run: [/usr/bin/shop, '{name}', '{{}}']}}
- {name: stand still, on: [service/shop/*], timeout: 1h, signal: {pid_file: /run/a.pid, signal: STOP}}
- {name: unit, on: [node/*], systemd: {unit: '{name}.service', do: stop, user: true}}
- {name: limit, on: [service/shop/*], risk: safe, cgroup: {path: '/shop/{name}', set: {memory.high: 512M}}}
- {name: clean_up-1.0, on: [service/shop/*], command: {run: [clean-up], undo: [a], check: [b], dry_run: [c]}}
- {name: call, on: [service/shop/*], webhook: {to: {url: 'https://a/b', authorization: {credentials: hunter2}}, can_undo: true}}
- {name: plain, on: [service/shop/*], webhook: {to: 'http://host/hook'}}
- {name: machine, on: [vm/*], virsh: {domain: '{name}', do: reset, connect: 'qemu:///system'}}
- {name: note, on: [service/shop/*], record: {file: /var/lib/larnax/done.jsonl}}
policies:
- on: [service/shop/*]
  mode: act
  maintenance: [{days: [sat, sun]}, {from: 22:00, until: 06:00, time_zone: UTC}]
- {on: ['*'], mode: ask, most_risk: destructive, sure: 0}
";
    assert_eq!(said(text), "");
    let (config, _) = Config::from_yaml(text, "f").unwrap();
    let json = serde_json::to_string(&config).unwrap();
    assert!(!json.contains("hunter2"), "{json}");
    let again = Config::from_yaml(&json.replace("<secret>", "hunter2"), "f").unwrap().0;
    assert_eq!((again.policies, again.actions.len()), (config.policies, 9));
}

#[test]
fn each_bad_action_has_its_message() {
    let long = format!("actions: [{{name: {}, on: [a], record: {{file: /a}}}}]", "x".repeat(101));
    check(&[
        (
            "actions: [{}]",
            "f:1:11: actions[0].name: missing, expected a name that no other action has\n\
             f:1:11: actions[0].on: missing, expected components such as `[\"service/shop/*\"]`\n\
             f:1:11: actions[0]: it doesn't say how it is done, expected one of signal, restart, systemd, cgroup, command, \
             webhook, virsh, record",
        ),
        (
            "actions: [{name: a, on: [a], recrod: {file: /a}}]",
            "f:1:11: actions[0]: it doesn't say how it is done, expected one of signal, restart, systemd, cgroup, command, \
             webhook, virsh, record\n\
             f:1:30: actions[0].recrod: unknown field, expected one of name, summary, on, patterns, metrics, risk, cost, \
             timeout, helps_within, cooldown, signal, restart, systemd, cgroup, command, webhook, virsh, record; did you mean record?",
        ),
        (
            "actions: [{name: a, on: [a], record: {file: /a}, command: {run: [a]}, virsh: {domain: a}}]",
            "f:1:11: actions[0]: found command and virsh and record, expected one of them",
        ),
        (
            "actions: [{name: a, on: [a], record: {file: /a}}, {name: a, on: [a], record: {file: /a}}]",
            "f:1:58: actions[1].name: `a` is the name of actions[0] too, expected a name that no other action has",
        ),
        (
            "actions: [{name: 'a/b', on: [a], record: {file: /a}}]",
            "f:1:18: actions[0].name: found `a/b` with '/' in it, expected letters from a to z, digits, ` `, `.`, `_` and \
             `-` only",
        ),
        (&long, "f:1:18: actions[0].name: found 101 characters, expected at most 100"),
        (
            "actions: [{name: a, on: ['*', service/b], record: {file: /a}}]",
            "f:1:26: actions[0].on[0]: found `*`: it is on offer for every component that this agent watches",
        ),
        (
            "actions: [{name: a, on: [a], timeout: 0s, record: {file: /a}}]",
            "f:1:39: actions[0].timeout: found `0s`, expected a longer time",
        ),
        (
            "actions: [{name: a, on: [a], helps_within: 0s, record: {file: /a}}]",
            "f:1:44: actions[0].helps_within: found `0s`, expected a longer time",
        ),
        (
            "actions: [{name: a, on: [a], timeout: 61m, record: {file: /a}}]",
            "f:1:39: actions[0].timeout: found `1h1m`, expected at most 1h",
        ),
        (
            "actions: [{name: a, on: [a], signal: {}}]",
            "f:1:30: actions[0].signal.pid_file: missing, expected a file such as `/run/orders.pid`",
        ),
        (
            "actions: [{name: a, on: [a], signal: {pid_file: '/run/{nmae}.pid'}}]",
            "f:1:49: actions[0].signal.pid_file: found `{nmae}`, expected one of `{component}`, `{kind}`, `{scope}`, `{name}`; \
             did you mean `{name}`?",
        ),
        (
            "actions: [{name: a, on: [a], signal: {pid_file: /a, signal: KIL}}]",
            "f:1:61: actions[0].signal.signal: found `KIL`, expected one of HUP, TERM, INT, QUIT, KILL, USR1, USR2, STOP, \
             CONT; did you mean KILL?",
        ),
        (
            "actions: [{name: a, on: [a], timeout: 5s, restart: {pid_file: /a, run: ['', '{x'], stop_signal: CONT}}]",
            "f:1:43: actions[0].restart.stop_within: found `10s`, expected less than the action's timeout, which is 5s: there \
             would be no time to start it\n\
             f:1:73: actions[0].restart.run[0]: found an empty text, expected a program\n\
             f:1:77: actions[0].restart.run[1]: found `{x`, expected `{{` for a brace, or one of `{component}`, `{kind}`, \
             `{scope}`, `{name}`\n\
             f:1:97: actions[0].restart.stop_signal: found a signal that ends nothing, expected one such as `TERM`",
        ),
        (
            "actions: [{name: a, on: [a], systemd: {unit: --force}}]",
            "f:1:46: actions[0].systemd.unit: found `--force`, expected a unit such as `orders.service` (no `-` before it, \
             no white space)",
        ),
        (
            "actions: [{name: a, on: [a], cgroup: {path: /a/../b, set: {../x.y: 1, cpu.max: '{cpu}'}}}]",
            "f:1:45: actions[0].cgroup.path: found `/a/../b`, expected a path below the root of all cgroups, without `..`\n\
             f:1:68: actions[0].cgroup.set.../x.y: found `../x.y`, expected a file of a cgroup, such as `memory.high`\n\
             f:1:80: actions[0].cgroup.set.cpu.max: found `{cpu}`, expected one of `{component}`, `{kind}`, `{scope}`, \
             `{name}`; a brace itself is written `{{` or `}}`",
        ),
        (
            "actions: [{name: a, on: [a], cgroup: {path: /}}]",
            "f:1:30: actions[0].cgroup.set: missing, expected limits such as `{memory.high: 512M}`\n\
             f:1:45: actions[0].cgroup.path: missing, expected a cgroup such as `/system.slice/orders.service`",
        ),
        (
            "actions: [{name: a, on: [a], command: {undo: [' ', a]}}]",
            "f:1:30: actions[0].command.run: missing, expected a program and its arguments, such as \
             `[\"/usr/local/bin/clean-up\"]`\n\
             f:1:47: actions[0].command.undo[0]: found an empty text, expected a program",
        ),
        (
            "actions: [{name: a, on: [a], webhook: {to: {timeout: 0s}}}]",
            "f:1:40: actions[0].webhook.to.url: missing, expected a URL such as `https://example.org/hook`\n\
             f:1:54: actions[0].webhook.to.timeout: found `0s`, expected a longer time",
        ),
        (
            "actions: [{name: a, on: [a], webhook: {to: {url: 'http://host/hunter2', basic_auth: {username: a}}}}]",
            "f:1:50: actions[0].webhook.to.url: found `http://host`, expected https:// because credentials are sent to \
             another machine",
        ),
        (
            "actions: [{name: a, on: [a], virsh: {connect: a b}}]",
            "f:1:30: actions[0].virsh.domain: missing, expected the name of a virtual machine\n\
             f:1:47: actions[0].virsh.connect: found `a b`, expected a hypervisor such as `qemu:///system` (no `-` before it, \
             no white space)",
        ),
        (
            "actions: [{name: a, on: [a], risk: safe, signal: {pid_file: /a, signal: TERM}}]",
            "f:1:36: actions[0].risk: found `safe`, but what it is done to stops: those who use it notice; expected \
             `disruptive`",
        ),
    ]);
}

#[test]
fn each_bad_policy_has_its_message() {
    check(&[
        (
            "policies: [{}]",
            "f:1:12: policies[0].on: missing, expected components such as `[\"service/shop/*\"]`",
        ),
        (
            "policies: [{on: [service/a, '*/*'], mode: act}]",
            "f:1:29: policies[0].on[1]: found `*/*`, which with `mode: act` would act on everything; expected kinds or \
             scopes by their names, such as `service/shop/*`",
        ),
        (
            "policies: [{on: [a], sure: 1.5, share: .nan, most: 0, within: 0s, answer_within: 0s}]",
            "f:1:28: policies[0].sure: found `1.5`, expected a number from 0 to 1\n\
             f:1:40: policies[0].share: found `.nan`, expected a number\n\
             f:1:52: policies[0].most: found `0`, expected at least 1; to do nothing, say `mode: observe`\n\
             f:1:63: policies[0].within: found `0s`, expected a longer time\n\
             f:1:82: policies[0].answer_within: found `0s`, expected a longer time",
        ),
        (
            "policies: [{on: [a], mode: act, sure: 0.4, most_risk: destructive}]",
            "f:1:39: policies[0].sure: found `0.4`: it acts where the cause is more likely another one; expected at least 0.5\n\
             f:1:55: policies[0].most_risk: found `destructive`: what is destructive is never done without approval, also \
             with `mode: act`",
        ),
        (
            "policies: [{on: [a], maintenance: [{from: '6:00', until: '24:00', days: [today]}]}]",
            "f:1:43: policies[0].maintenance[0].from: found `6:00`, expected a time from `00:00` to `23:59`, such as `06:30`\n\
             f:1:58: policies[0].maintenance[0].until: found `24:00`, expected a time from `00:00` to `23:59`, such as \
             `06:30`\n\
             f:1:74: policies[0].maintenance[0].days[0]: found `today`, expected one of mon, tue, wed, thu, fri, sat, sun",
        ),
        (
            "policies: [{on: [a], maintenance: [{days: [sun], time_zone: 'UTC+2,x'}]}]",
            "f:1:61: policies[0].maintenance[0].time_zone: found `UTC+2,x`, expected a time zone such as `Europe/Brussels` or \
             `UTC`, or a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`",
        ),
        (
            "policies: [{on: [a], maintenance: [{days: [sun]}, {days: [mon, tue, wed, thu, fri, sat, sun]}]}]",
            "f:1:51: policies[0].maintenance[1]: it is always such a time, so nothing is ever done; expected days, or from and \
             until",
        ),
        (
            "policies: [{on: [service/a/*, node/*]}, {on: [service/a/b]}, {on: [service/*]}, {on: [service/a/*x, service/b/*]}]",
            "f:1:42: policies[1].on: it never holds: all that it is about is meant by policies[0] already, and the first one \
             holds\n\
             f:1:82: policies[3].on: it never holds: all that it is about is meant by policies[2] or one before it already, \
             and the first one holds",
        ),
        (
            "{hub: {url: 'https://hub'}, host: true, policies: [{on: [a]}]}",
            "f:1:41: policies: has no effect: this agent reports to a hub, and that hub's config says what is allowed",
        ),
        // A hub that reports to another one.
        ("{hub: {url: 'https://hub'}, policies: [{on: [a]}]}", ""),
    ]);
}

#[test]
fn a_time_zone_that_nobody_knows_is_refused() {
    let zone = |name: &str| {
        said(&format!("policies: [{{on: [a], maintenance: [{{days: [sun], time_zone: {name}}}]}}]"))
    };
    for name in ["Europe/Brusels", "../../etc/passwd", "/etc/localtime", "''", "UTC+2"] {
        let message = zone(name);
        assert!(message.contains("expected a time zone such as `Europe/Brussels`"), "{name}: {message}");
    }
    // Only where the machine knows names.
    if std::path::Path::new("/usr/share/zoneinfo/Europe/Brussels").exists() {
        assert_eq!(zone("Europe/Brussels"), "");
        assert!(
            zone("Europe/Brusels").ends_with("did you mean Europe/Brussels?"),
            "{}",
            zone("Europe/Brusels")
        );
    }
    assert_eq!(zone("UTC"), "");
}

#[test]
fn files_of_actions_are_beside_the_config_and_secrets_of_webhooks_are_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("a {b}");
    std::fs::create_dir(&odd).unwrap();
    let path = odd.join("larnax.yaml");
    let text = "\
actions:
- {name: a, on: [a], signal: {pid_file: '{name}.pid'}}
- {name: b, on: [a], restart: {pid_file: /run/b.pid, run: [./b, ./c], folder: work, log: b.log}}
- {name: c, on: [a], command: {run: [clean-up, ./c], undo: [bin/undo], folder: /}}
- {name: d, on: [a], record: {file: d.jsonl}}
- {name: e, on: [a], webhook: {to: {url: 'https://a', authorization: {credentials_file: token}}}}
";
    std::fs::write(&path, text).unwrap();
    let (config, warnings) = Config::load(&path, &Environment::default()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.validate("again").unwrap(), []);
    let escaped = placeholder::literal(odd.to_str().unwrap());
    let [signal, restart, command, record, webhook] = config.actions.as_slice() else { panic!() };
    let signal = signal.signal.as_ref().unwrap();
    assert_eq!(signal.pid_file, std::path::Path::new(&escaped).join("{name}.pid"));
    let restart = restart.restart.as_ref().unwrap();
    assert_eq!(restart.pid_file, std::path::Path::new("/run/b.pid"));
    assert_eq!(restart.run, [format!("{escaped}/./b"), "./c".to_owned()]);
    assert_eq!(restart.folder, Some(std::path::Path::new(&escaped).join("work")));
    assert_eq!(restart.log, Some(std::path::Path::new(&escaped).join("b.log")));
    let command = command.command.as_ref().unwrap();
    assert_eq!((&*command.run[0], &*command.run[1]), ("clean-up", "./c"));
    assert_eq!(command.undo, [format!("{escaped}/bin/undo")]);
    assert_eq!(command.folder, Some("/".into()));
    assert_eq!(record.record.as_ref().unwrap().file, std::path::Path::new(&escaped).join("d.jsonl"));
    let webhook = webhook.webhook.as_ref().unwrap();
    // No text of an action: it stays as it is.
    let token = webhook.to.authorization.as_ref().unwrap().credentials_file.clone();
    assert_eq!(token, Some(odd.join("token")));
    let errors = config.check_files().unwrap_err().to_string();
    let field = "config: actions[4].webhook.to.authorization.credentials_file: ";
    assert!(errors.starts_with(field) && !errors.contains('\n'), "{errors}");
}

#[test]
fn a_share_that_is_no_number_is_refused_whoever_wrote_it() {
    let mut config = Config::from_yaml("policies: [{on: [a]}]", "f").unwrap().0;
    config.policies[0].sure = f64::NAN;
    config.policies[0].share = -0.1;
    let errors = config.validate("flags").unwrap_err().to_string();
    assert!(errors.contains("policies[0].sure: found `NaN`, expected a number from 0 to 1"), "{errors}");
    assert!(errors.contains("policies[0].share: found `-0.1`, expected a number from 0 to 1"), "{errors}");
}

#[test]
fn a_policy_means_what_one_of_its_scopes_stands_for() {
    let (config, _) = Config::from_yaml("policies: [{on: [service/shop/*, node/*]}]", "f").unwrap();
    let means = |id: &str| config.policies[0].means(&id.parse::<ComponentId>().unwrap());
    assert!(means("service/shop/orders") && means("node/local/a"));
    assert!(!means("service/other/orders") && !means("vm/node/a"));
}
