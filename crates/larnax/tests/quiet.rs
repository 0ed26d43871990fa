//! A quiet machine raises no alert: the recording of half an hour, judged as the agent judges.

use std::path::Path;
use std::process::Command;

#[test]
fn half_an_hour_of_a_quiet_machine_raises_no_alert() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quiet-host.csv.gz");
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
    assert_eq!(report["alerts"], 0, "{}", report["found"]);
}
