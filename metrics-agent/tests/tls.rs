//! gRPC over TLS: who is let in. The certificates in `testdata/agent-config/tls` are for tests only;
//! their authority's key was thrown away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::path::{Path, PathBuf};

use pool_state::proto::agent_message::Message;
use support::{
    Gateway,
    process::{Folder, Running, agent},
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/agent-config/tls")
        .join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(pem(name)).unwrap()
}

fn config(certificate: &str, key: &str, client_ca: Option<&str>) -> String {
    let client_ca = client_ca.map(|name| format!(", client_ca: {}", pem(name).display()));
    format!(
        "listen: {{grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", tls: {{certificate: {}, key: {}{}}}}}\n\
         pools: [{{name: default}}]\n",
        pem(certificate).display(),
        pem(key).display(),
        client_ca.unwrap_or_default()
    )
}

/// Whether the agent serves a gateway with these credentials.
async fn served(agent: &Running, identity: Option<&str>) -> bool {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("ca.pem")))
        .domain_name("localhost");
    if let Some(name) = identity {
        let (certificate, key) = (read(&format!("{name}.pem")), read(&format!("{name}.key")));
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Channel::from_shared(format!("https://{}", agent.grpc)).unwrap();
    // With TLS 1.3 a client learns only by its first exchange that it was refused.
    let Ok(channel) = endpoint.tls_config(tls).unwrap().connect().await else {
        return false;
    };
    let Ok(mut gateway) = Gateway::open(channel).await else {
        return false;
    };
    gateway.hello("gw", &["default"]).await;
    matches!(gateway.hear().await, Ok(Message::Snapshot(_)))
}

#[tokio::test]
async fn only_gateways_of_the_named_authority_are_served() {
    let folder = Folder::new();
    let text = config("agent.pem", "agent.key", Some("ca.pem"));
    let agent = Running::start(&folder.write("a.yaml", &text));
    assert!(served(&agent, Some("gateway")).await);
    for refused in [None, Some("stranger"), Some("expired"), Some("agent")] {
        assert!(!served(&agent, refused).await, "{refused:?} was served");
    }
    let plaintext = Channel::from_shared(format!("http://{}", agent.grpc)).unwrap();
    if let Ok(channel) = plaintext.connect().await {
        assert!(
            Gateway::open(channel).await.is_err(),
            "plaintext was served"
        );
    }
    assert!(served(&agent, Some("gateway")).await, "after all that");
}

#[tokio::test]
async fn without_a_client_authority_any_tls_client_is_served() {
    let folder = Folder::new();
    let agent = Running::start(&folder.write("a.yaml", &config("agent.pem", "agent.key", None)));
    assert!(served(&agent, None).await);
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let folder = Folder::new();
    for (certificate, key, said) in [
        (
            "missing.pem",
            "agent.key",
            "listen.tls.certificate: cannot read",
        ),
        ("agent.pem", "missing.key", "listen.tls.key: cannot read"),
        ("agent.key", "agent.key", "listen.tls: "),
        ("agent.pem", "agent.pem", "listen.tls: "),
        ("agent.pem", "gateway.key", "listen.tls: "),
    ] {
        let file = folder.write("a.yaml", &config(certificate, key, None));
        for command in [&["check"][..], &["run", "--config"]] {
            let mut args = command.to_vec();
            args.push(file.to_str().unwrap());
            let output = agent(&args);
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{certificate} {key}: {told}");
            assert!(told.contains(said), "{certificate} {key}: {told}");
        }
    }
}
