//! A quiet machine raises no alert: an hour in two recordings of two days, judged as the agent judges.

use std::path::Path;
use std::process::Command;

#[test]
fn an_hour_of_a_quiet_machine_raises_no_alert() {
    for name in ["quiet-host.csv.gz", "quiet-host-2.csv.gz"] {
        let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let output = Command::new(env!("CARGO_BIN_EXE_larnax"))
            .arg("detect")
            .arg(recording)
            .args(["-o", "json"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["rows"].as_u64() >= Some(1800), "{report}");
        assert!(report["metrics"].as_u64() >= Some(137), "{report}");
        assert_eq!(report["alerts"], 0, "{name}: {}", report["found"]);
    }
}
