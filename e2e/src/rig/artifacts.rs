//! Where the things under test are: Envoy, the filter's wasm and the agent.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::error::RigError;

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The Envoy binary: `ZEROHOP_ENVOY`, else what `scripts/get-envoy.sh` left.
///
/// # Errors
/// When there is none.
pub fn envoy() -> Result<PathBuf, RigError> {
    let tools = repository().join(".tools/envoy");
    find(
        "Envoy",
        "ZEROHOP_ENVOY",
        "make setup",
        &[tools.join("envoy")],
    )
}

/// The filter as `make wasm` builds it: `ZEROHOP_WASM`, else the target directory.
///
/// # Errors
/// When it was not built.
pub fn filter_wasm() -> Result<PathBuf, RigError> {
    find(
        "the filter's wasm",
        "ZEROHOP_WASM",
        "make wasm",
        &[target().join("wasm32-wasip1/wasm-release/filter.wasm")],
    )
}

/// The filter with its test-only `chaos` feature: `ZEROHOP_WASM_CHAOS`, else the target directory.
///
/// # Errors
/// When it was not built.
pub fn chaos_wasm() -> Result<PathBuf, RigError> {
    find(
        "the filter's wasm with the chaos feature",
        "ZEROHOP_WASM_CHAOS",
        "make wasm-chaos",
        &[target().join("chaos/filter.wasm")],
    )
}

/// The agent: `ZEROHOP_AGENT`, else the newest of the release and debug builds.
///
/// # Errors
/// When it was not built.
pub fn agent() -> Result<PathBuf, RigError> {
    let built = ["release", "debug"].map(|profile| target().join(profile).join("zerohop-agent"));
    let newest = built
        .iter()
        .filter(|path| path.is_file())
        .max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok())
        .cloned();
    let fallback = target().join("release/zerohop-agent");
    find(
        "zerohop-agent",
        "ZEROHOP_AGENT",
        "make agent",
        &[newest.unwrap_or(fallback)],
    )
}

/// A program of `scripts/get-kubernetes.sh`.
///
/// # Errors
/// When it was not built.
#[cfg(feature = "kubernetes")]
pub fn kubernetes(program: &str) -> Result<PathBuf, RigError> {
    find(
        "a program of Kubernetes",
        "ZEROHOP_KUBERNETES",
        "scripts/get-kubernetes.sh",
        &[repository().join(".tools/kubernetes").join(program)],
    )
}

/// istiod, which `scripts/get-istio.sh` builds.
///
/// # Errors
/// When it was not built.
#[cfg(feature = "kubernetes")]
pub fn istiod() -> Result<PathBuf, RigError> {
    find(
        "istiod",
        "ZEROHOP_ISTIOD",
        "scripts/get-istio.sh",
        &[repository().join(".tools/istio/pilot-discovery")],
    )
}

/// Where `scripts/get-istio.sh` puts the resource definitions of a product.
///
/// # Errors
/// When it has not.
#[cfg(feature = "kubernetes")]
pub fn istio_definitions(product: &str) -> Result<PathBuf, RigError> {
    let definitions = env::var_os("ZEROHOP_ISTIO_DEFINITIONS").map(PathBuf::from);
    let definitions = definitions.unwrap_or_else(|| repository().join(".tools/istio/definitions"));
    let path = definitions.join(product);
    if path.is_dir() {
        return Ok(path);
    }
    Err(RigError::Missing {
        what: "a product's resource definitions",
        path,
        run: "scripts/get-istio.sh",
        variable: "ZEROHOP_ISTIO_DEFINITIONS",
    })
}

/// Cargo's target directory.
#[must_use]
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

fn find(
    what: &'static str,
    variable: &'static str,
    run: &'static str,
    places: &[PathBuf],
) -> Result<PathBuf, RigError> {
    let named = env::var_os(variable).map(PathBuf::from);
    let candidates = named.map_or_else(|| places.to_vec(), |path| vec![path]);
    let missing = candidates.first().cloned().unwrap_or_default();
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .ok_or(RigError::Missing {
            what,
            path: missing,
            run,
            variable,
        })
}
