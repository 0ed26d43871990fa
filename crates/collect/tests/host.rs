//! The host source on trees of recorded files: what it finds, its rates, changes, and what damaged files do to it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod host_tree;

use std::sync::Arc;

use host_tree::Tree;
use larnax_collect::host::{CgroupPattern, HostOptions, HostSource, ProcessGroup};
use larnax_collect::{ErrorClass, Source};
use larnax_core::Timestamp;
use regex_lite::Regex;

#[test]
fn a_raspberry_pis_card_network_and_services_are_seen() {
    let mut host = Tree::of("raspberry-pi").host_with(|options| {
        options.cgroups = vec![CgroupPattern::new("/system.slice/*.service").unwrap()];
    });
    host.collect(0.0);
    for name in [
        "cpu/busy",
        "cpu/3/busy",
        "disk-io/mmcblk0/read_bytes",
        "disk-io/all/io_time",
        "disk-usage/used",
        "disk-usage/boot/firmware/percent",
        "net/wlan0/rx_bytes",
        "psi/memory/full",
        "tcp/listen_drops",
        "cgroup/system.slice/nginx.service/memory_percent",
    ] {
        assert!(host.has(name), "{name}");
    }
    for name in ["cpu/4/busy", "disk-io/mmcblk0p1/queue", "disk-io/mmcblk0boot0/queue", "disk-io/ram0/queue"]
    {
        assert!(!host.has(name), "{name}");
    }
    assert!(!host.has("cgroup/system.slice/sshd.service/memory_percent"), "it has no limit");
    assert_eq!(host.value("mem/percent"), 100.0 * 348.0 / 948.0);
    assert_eq!(host.value("mem/swap_used"), 51198.0 * 1024.0);
    assert_eq!(host.value("load/5"), 0.26);
    assert_eq!(host.value("procs/blocked"), 1.0);
    assert_eq!(host.value("tcp/established"), 17.0);
    assert_eq!(host.value("sockets/tcp_timewait"), 2.0);
    assert_eq!(host.value("cgroup/system.slice/nginx.service/memory_percent"), 50.0);
    assert!(host.value("disk-usage/percent") >= 0.0);
}

#[test]
fn a_servers_nvme_disks_layers_and_version_1_groups_are_seen() {
    let mut host = Tree::of("nvme-server").host_with(|options| {
        options.cgroups = vec![CgroupPattern::new("/docker/*").unwrap()];
    });
    host.collect(0.0);
    for disk in ["nvme0n1", "nvme1n1", "dm-0", "loop3"] {
        assert!(host.has(&format!("disk-io/{disk}/queue")), "{disk}");
    }
    assert!(!host.has("disk-io/loop4/queue") && !host.has("disk-io/nvme0n1p1/queue"));
    assert!(host.has("net/docker0/rx_bytes") && !host.has("net/veth12ab/rx_bytes"));
    assert!(host.has("disk-usage/srv/bind/used"), "the shortest mount point of its device");
    assert!(!host.has("disk-usage/srv/my data/used") && !host.has("disk-usage/nas/used"));
    assert_eq!(host.value("cgroup/docker/4f2a/memory_percent"), 50.0);
    assert_eq!(host.value("cgroup/docker/4f2a/pids"), 5.0);
    assert!(host.has("cgroup/docker/9d01/memory") && !host.has("cgroup/docker/9d01/memory_max"));

    let group = "sys/fs/cgroup/cpu,cpuacct/docker/4f2a";
    host.tree.write(&format!("{group}/cpuacct.usage"), "4000000000\n");
    host.tree
        .write(&format!("{group}/cpu.stat"), "nr_periods 1\nnr_throttled 1\nthrottled_time 1005000000\n");
    let io = "sys/fs/cgroup/blkio/docker/4f2a/blkio.throttle.io_service_bytes_recursive";
    host.tree.write(io, "259:0 Read 4296\n259:0 Write 8192\n");
    host.tree.replace("sys/block/nvme0n1/stat", "4455426", "4455436");
    host.tree.replace("sys/block/nvme1n1/stat", "4455426", "4455446");
    host.tree.replace("sys/block/dm-0/stat", "4455426", "4455526");
    host.collect(2.0);
    assert_eq!(host.value("cgroup/docker/4f2a/cpu"), 1.5);
    assert_eq!(host.value("cgroup/docker/4f2a/throttled"), 0.5);
    assert_eq!(host.value("cgroup/docker/4f2a/read_bytes"), 100.0);
    assert_eq!(host.value("cgroup/docker/4f2a/write_bytes"), 0.0);
    assert_eq!(host.value("disk-io/dm-0/read_bytes"), 100.0 * 512.0 / 2.0);
    assert_eq!(host.value("disk-io/all/read_bytes"), 30.0 * 512.0 / 2.0, "layers are not counted twice");
}

#[test]
fn a_minimal_container_gives_what_it_has() {
    let mut host = Tree::of("container").host();
    host.collect(0.0);
    for missing in
        ["psi/cpu/some", "tcp/retransmits", "files/open", "mem/available", "vm/pgfault", "mem/swap_used"]
    {
        assert!(!host.has(missing), "{missing}");
    }
    assert!(host.has("disk-usage/used") && !host.has("disk-usage/etc/hosts/used"));
    assert!(host.has("disk-io/sda/queue") && !host.has("disk-io/sda1/queue"));
    assert_eq!(host.value("mem/percent"), 50.0, "without MemAvailable, what is free counts");
    host.tree.replace("proc/net/dev", "eth0: 100", "eth0: 700");
    host.collect(2.0);
    assert_eq!(host.value("net/all/rx_bytes"), 300.0, "no hardware: all but the loopback");
}

#[test]
fn a_machine_that_tells_nothing_is_a_config_error() {
    let dir = tempfile::tempdir().unwrap();
    let options = HostOptions { proc: dir.path().into(), sys: dir.path().into(), ..HostOptions::default() };
    let error = HostSource::new(options, host_tree::clock()).err().unwrap();
    assert_eq!(error.class, ErrorClass::Config);
    assert!(
        error.message.contains("expected procfs") && error.message.contains(dir.path().to_str().unwrap())
    );
}

#[test]
fn a_procfs_that_goes_away_is_an_error_and_comes_back() {
    let mut host = Tree::of("container").host();
    host.collect(0.0);
    for file in ["stat", "loadavg", "meminfo", "net/dev", "diskstats"] {
        host.tree.write(&format!("proc/{file}"), "");
    }
    let error = host.try_collect(1.0).unwrap_err();
    assert!(error.class == ErrorClass::Config && error.message.contains("procfs"), "{error}");
    host.tree.restore("proc/meminfo");
    host.collect(2.0);
    assert_eq!(host.value("mem/percent"), 50.0);
    assert!(host.value("cpu/busy").is_nan());
}

#[test]
fn rates_are_missing_at_first_and_then_per_second_of_the_monotonic_clock() {
    let mut host = Tree::of("raspberry-pi").host();
    host.collect(10.0);
    for rate in ["cpu/user", "procs/forks", "net/eth0/rx_bytes", "psi/io/some", "disk-io/mmcblk0/read_ops"] {
        assert!(host.value(rate).is_nan(), "{rate}");
    }
    // 60 ticks busy (10 of them in interrupts), 30 idle, 10 waiting for a disk.
    host.tree.replace("proc/stat", "cpu0 1000 10 500 8000 100 0 20", "cpu0 1040 10 510 8030 110 0 30");
    host.tree.replace("proc/stat", "processes 8393", "processes 8398");
    host.tree.replace("proc/net/dev", "eth0: 70788571", "eth0: 70789571");
    host.tree.replace(
        "proc/pressure/io",
        "some avg10=3.33 avg60=2.76 avg300=1.10 total=10900420",
        "some total=11025420",
    );
    host.tree
        .write("sys/block/mmcblk0/stat", "71763 25029 4455446 27526 8274 21001 1859128 7070 0 9987 35426\n");
    host.collect(10.5);
    assert_eq!(host.value("cpu/0/user"), 0.4);
    assert_eq!(host.value("cpu/0/softirq"), 0.1);
    assert_eq!(host.value("cpu/0/iowait"), 0.1);
    assert_eq!(host.value("cpu/0/busy"), 0.6);
    assert!(host.value("cpu/1/busy").is_nan(), "a CPU whose clock stands still tells nothing");
    assert_eq!(host.value("procs/forks"), 10.0);
    assert_eq!(host.value("net/eth0/rx_bytes"), 2000.0);
    assert_eq!(host.value("net/all/rx_bytes"), 2000.0);
    assert_eq!(host.value("psi/io/some"), 0.25);
    assert_eq!(host.value("disk-io/mmcblk0/read_ops"), 10.0);
    assert_eq!(host.value("disk-io/mmcblk0/read_bytes"), 20.0 * 512.0 / 0.5);
    assert_eq!(host.value("disk-io/mmcblk0/io_time"), 0.75);
    assert_eq!(host.value("disk-io/mmcblk0/queue"), 1.0);
    assert_eq!(host.time(), Timestamp::from_seconds(1_700_000_010.5), "the row has the wall clock's time");
}

#[test]
fn a_counter_that_falls_is_missing_once() {
    let mut host = Tree::of("raspberry-pi").host();
    host.collect(0.0);
    host.tree.replace("proc/net/dev", "eth0: 70788571", "eth0: 100");
    host.collect(1.0);
    assert!(host.value("net/eth0/rx_bytes").is_nan());
    assert_eq!(host.value("net/eth0/tx_bytes"), 0.0);
    host.tree.replace("proc/net/dev", "eth0: 100", "eth0: 150");
    host.collect(2.0);
    assert_eq!(host.value("net/eth0/rx_bytes"), 50.0);
}

#[test]
fn idle_time_that_falls_a_little_is_no_reset() {
    let mut host = Tree::of("container").host();
    host.collect(0.0);
    host.tree.replace("proc/stat", "cpu0 1000 10 500 8000 100", "cpu0 1050 10 500 8050 99");
    host.collect(1.0);
    assert_eq!(host.value("cpu/0/busy"), 0.5);
}

#[test]
fn what_is_read_seldom_keeps_its_value_in_between() {
    let mut host = Tree::of("raspberry-pi").host();
    host.collect(0.0);
    host.collect(0.5);
    host.tree.write("proc/loadavg", "7.00 0.26 0.13 1/96 9021\n");
    host.collect(0.6);
    assert_eq!(host.value("load/1"), 0.5);
    host.collect(1.6);
    assert_eq!(host.value("load/1"), 7.0);
}

#[test]
fn two_collections_at_one_instant_have_no_rate_between_them() {
    let mut host = Tree::of("raspberry-pi").host();
    host.collect(1.0);
    host.tree.replace("proc/net/dev", "eth0: 70788571", "eth0: 70788671");
    host.collect(1.0);
    assert!(host.value("net/eth0/rx_bytes").is_nan());
    host.collect(2.0);
    assert_eq!(host.value("net/eth0/rx_bytes"), 0.0);
}

#[test]
fn a_disk_that_is_plugged_in_gives_a_new_schema_and_the_others_go_on() {
    let mut host = Tree::of("raspberry-pi").host();
    host.collect(0.0);
    let before = host.schema();
    host.collect(4.0);
    assert!(Arc::ptr_eq(&before, &host.schema()), "the same metrics are the same schema");
    host.tree.append("proc/diskstats", "   8       0 sda 5 0 0 0 0 0 0 0 0 0 0\n");
    host.tree.write("sys/block/sda/stat", "5 0 0 0 0 0 0 0 0 0 0\n");
    host.tree.replace("sys/block/mmcblk0/stat", "71758", "71798");
    for second in 5..16 {
        host.collect(f64::from(second));
        if host.has("disk-io/sda/read_ops") {
            break;
        }
    }
    assert!(!Arc::ptr_eq(&before, &host.schema()));
    assert!(host.value("disk-io/sda/read_ops").is_nan(), "the first of its values is a rate");
    assert!(host.value("disk-io/mmcblk0/read_ops").is_finite());
    assert_eq!(host.value("mem/percent"), 100.0 * 348.0 / 948.0);
    assert!(host.value("disk-usage/percent").is_finite(), "what is read seldom keeps its value");
}

#[test]
fn an_interface_that_is_unplugged_is_missing_and_then_gone() {
    let mut host = Tree::of("raspberry-pi").host();
    host.collect(0.0);
    host.collect(1.0);
    assert_eq!(host.value("net/wlan0/rx_bytes"), 0.0);
    host.tree.replace("proc/net/dev", " wlan0:", "#");
    host.collect(2.0);
    assert!(host.value("net/wlan0/rx_bytes").is_nan());
    for second in 3..16 {
        host.collect(f64::from(second));
    }
    assert!(!host.has("net/wlan0/rx_bytes") && host.value("net/eth0/rx_bytes") == 0.0);
}

#[test]
fn a_cpu_that_is_switched_off_is_missing_and_the_others_are_not_mixed_up() {
    let mut host = Tree::of("raspberry-pi").host();
    host.collect(0.0);
    host.tree.replace("proc/stat", "cpu1 1000 10 500 8000 100 0 20 5 0 0\n", "");
    host.tree.replace("proc/stat", "cpu2 1000 10 500 8000", "cpu2 1030 10 500 8010");
    host.collect(1.0);
    assert!(host.value("cpu/1/busy").is_nan());
    assert_eq!(host.value("cpu/2/busy"), 0.75);
    for second in 2..16 {
        host.collect(f64::from(second));
    }
    assert!(!host.has("cpu/1/busy") && host.has("cpu/2/busy"));
}

#[test]
fn a_group_that_starts_gives_a_new_schema_and_one_that_ends_leaves_it() {
    let mut host = Tree::of("raspberry-pi").host_with(|options| {
        options.cgroups = vec![CgroupPattern::new("/system.slice/**").unwrap()];
    });
    host.collect(0.0);
    host.tree.write("sys/fs/cgroup/system.slice/new.service/memory.current", "4096\n");
    host.tree.remove("sys/fs/cgroup/system.slice/nginx.service");
    for second in 1..16 {
        host.collect(f64::from(second));
    }
    assert_eq!(host.value("cgroup/system.slice/new.service/memory"), 4096.0);
    assert!(!host.has("cgroup/system.slice/nginx.service/memory"));
}

fn web() -> Vec<ProcessGroup> {
    vec![
        ProcessGroup { name: "web".to_owned(), pattern: Regex::new("^nginx").unwrap() },
        ProcessGroup { name: "port".to_owned(), pattern: Regex::new("--port 80$").unwrap() },
    ]
}

#[test]
fn a_service_that_stops_has_no_processes_left() {
    let tree = Tree::of("container");
    tree.process(100, "nginx", "nginx: master\0--port\080\0", 200);
    tree.process(101, "nginx", "nginx: worker\0", 300);
    tree.process(102, "sshd", "/usr/sbin/sshd\0-D\0", 300);
    let mut host = tree.host_with(|options| options.processes = web());
    host.collect(0.0);
    assert_eq!(host.value("proc/web/count"), 2.0);
    assert_eq!(host.value("proc/port/count"), 1.0);
    assert_eq!(host.value("proc/web/threads"), 4.0);
    assert_eq!(host.value("proc/web/fds"), 6.0);
    assert!(host.value("proc/web/cpu").is_nan(), "a rate needs two looks");

    // A worker ends, another starts with 60 ticks of its own, the master has used 140 more.
    host.tree.remove("proc/101");
    host.tree.process(103, "nginx", "nginx: worker\0", 60);
    host.tree.process(100, "nginx", "nginx: master\0--port\080\0", 340);
    host.collect(2.0);
    assert_eq!(host.value("proc/web/count"), 2.0);
    assert_eq!(host.value("proc/web/cpu"), 1.0, "200 ticks of 10 ms in 2 s");

    host.tree.remove("proc/100");
    host.tree.remove("proc/103");
    host.collect(4.0);
    for fact in ["count", "cpu", "rss", "threads", "fds"] {
        assert_eq!(host.value(&format!("proc/web/{fact}")), 0.0, "{fact}");
    }
}

#[test]
fn a_process_that_becomes_another_program_is_found_and_larnax_itself_is_not() {
    let tree = Tree::of("container");
    tree.process(100, "sh", "sh\0", 200);
    tree.process(7, "nginx", "nginx\0", 200);
    std::os::unix::fs::symlink("7", tree.path("proc/self")).unwrap();
    let mut host = tree.host_with(|options| options.processes = web());
    host.collect(0.0);
    assert_eq!(host.value("proc/web/count"), 0.0);
    host.tree.process(100, "nginx", "nginx\0", 201);
    host.collect(2.0);
    assert_eq!(host.value("proc/web/count"), 1.0);
    host.collect(4.0);
    assert_eq!(host.value("proc/web/cpu"), 0.0);
}

#[test]
fn the_limits_hold() {
    let mut host = Tree::of("nvme-server").host_with(|options| {
        (options.max_cpus, options.max_disks, options.max_nics, options.max_mounts) = (2, 1, 1, 1);
        (options.max_cgroups, options.cgroups) = (1, vec![CgroupPattern::new("/**").unwrap()]);
    });
    host.collect(0.0);
    let names = host.schema();
    let count = |fact: &str| {
        names
            .metrics()
            .iter()
            .filter(|m| m.name.as_str().ends_with(fact))
            .filter(|m| !m.name.as_str().contains("/all/"))
            .count()
    };
    assert_eq!(count("/busy"), 3, "the whole and two");
    assert_eq!(count("/queue"), 1);
    assert_eq!(count("/rx_bytes"), 1);
    assert!(host.has("net/eno1/rx_bytes"), "hardware first");
    assert!(count("/free") <= 2);
    // 6 CPUs, 3 disks and 2 interfaces, a file system, and at least one group are refused.
    assert!(host.source.cost().refused_samples >= 6 * 6 + 3 * 8 + 2 * 8 + 4 + 8, "{:?}", host.source.cost());
    let too_many = (0..65).map(|i| ProcessGroup { name: i.to_string(), pattern: Regex::new("x").unwrap() });
    let options = HostOptions { processes: too_many.collect(), ..HostOptions::default() };
    assert!(HostSource::new(options, host_tree::clock()).err().unwrap().message.contains("at most 64"));
}

#[test]
fn a_process_group_without_a_name_of_its_own_is_a_config_error() {
    let group = |name: &str| ProcessGroup { name: name.to_owned(), pattern: Regex::new("x").unwrap() };
    for (names, expected) in
        [(["a", "a"], "`a` stands twice"), (["a", ""], "no name"), (["a", "b\n"], "no name")]
    {
        let options = HostOptions { processes: names.map(group).to_vec(), ..HostOptions::default() };
        let error = HostSource::new(options, host_tree::clock()).err().unwrap();
        assert!(error.class == ErrorClass::Config && error.message.contains(expected), "{error}");
    }
}

#[test]
fn its_cost_is_counted() {
    let mut host = Tree::of("container").host();
    host.collect(0.0);
    host.collect(1.0);
    let cost = host.source.cost();
    assert_eq!((cost.collections, cost.failures), (2, 0));
    assert!(cost.bytes_read > 1000);
    assert_eq!(host.source.name(), "host");
}
