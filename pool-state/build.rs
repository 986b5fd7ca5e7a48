//! Generates the message types (and, with feature `grpc`, the tonic service) in pure Rust: no
//! `protoc` is needed on the machine that builds.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/zerohop/poolstate/v1/poolstate.proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .compile_fds(descriptors)?;
    Ok(())
}
