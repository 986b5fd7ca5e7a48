//! The program: starts, prints its addresses, serves, ends on SIGTERM, refuses bad arguments.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on panics"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{get, post};

/// A child that does not outlive its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn instances_serve_until_sigterm() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_model-sim"))
        .args([
            "--defaults",
            "speed=20,model=tiny",
            "--count",
            "2",
            "--base-port",
            "0",
        ])
        .args([
            "--instance",
            r#"port=0,loras=sql,faults={"status":429}"#,
            "--admin-port",
            "0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let mut program = Program(child);
    let ready: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
    let address = |value: &serde_json::Value| value.as_str().unwrap().parse().unwrap();
    assert_eq!(ready["addresses"].as_array().unwrap().len(), 3);
    // Instances given by --instance come first.
    let body = r#"{"model":"tiny","prompt":"x","max_tokens":3}"#;
    assert_eq!(
        post(address(&ready["addresses"][0]), "/v1/completions", body)
            .await
            .status,
        429
    );
    for number in 1..3 {
        let address = address(&ready["addresses"][number]);
        assert_eq!(post(address, "/v1/completions", body).await.status, 200);
    }
    assert_eq!(
        get(address(&ready["admin"]), "/sim/instances").await.status,
        200
    );
    let began = Instant::now();
    let pid = program.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    while program.0.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(5), "SIGTERM ends it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(program.0.wait().unwrap().success());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn bad_arguments_are_all_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_model-sim"))
        .args(["--instance", "port=x,sped=2", "--instance", "kv-blocks=-1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    for part in ["port", "sped", "is no known key", "kv-blocks"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_model-sim"))
        .args(["--instance", "port=0,kv-blocks=1,speed=-1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("engine.kv_blocks") && text.contains("engine.speed"),
        "{text}"
    );
}
