//! Generates the messages and the service of `proto/eds.proto` in pure Rust: no `protoc` is needed on
//! the machine that builds.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/eds.proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(descriptors)?;
    Ok(())
}
