#!/usr/bin/env bash
# Format, lints, docs and the rules of the tree. Runs every check and reports all that failed.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=()

check() {
    local name=$1
    shift
    local start=$SECONDS
    if "$@"; then
        echo "lint: $name: ok ($((SECONDS - start)) s)"
    else
        echo "lint: $name: FAILED"
        failed+=("$name")
    fi
}

scripts() {
    local script bad=0
    while IFS= read -r script; do
        head -n 1 "$script" | grep -q '^#!.*bash' || continue
        bash -n "$script" || bad=1
        [ -x "$script" ] || {
            echo "$script is not executable"
            bad=1
        }
        ! command -v shellcheck >/dev/null || shellcheck --severity=warning "$script" || bad=1
    done < <(git ls-files --cached --others --exclude-standard | grep -E '\.sh$|^\.ci/run$')
    return "$bad"
}

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps
}

check "tree" python3 .ci/check_tree.py
check "licences" python3 .ci/check_licences.py
check "scripts" scripts
check "format" cargo fmt --all --check
check "clippy" cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
check "clippy of the Kubernetes source" cargo clippy --quiet --locked -p metrics-agent -p e2e -p docs-tests \
    --features metrics-agent/kubernetes,e2e/kubernetes,docs-tests/kubernetes --all-targets -- -D warnings
check "clippy of the wasm" cargo clippy --quiet --locked -p filter --target wasm32-wasip1 --lib --examples -- -D warnings
check "clippy of the wasm that panics" \
    cargo clippy --quiet --locked -p filter --features chaos --target wasm32-wasip1 -- -D warnings
# Clippy knows tests by `#[test]`, which wasm_bindgen_test replaces: what only tests may do is judged
# in the native run above.
check "clippy of the tests in V8" cargo clippy --quiet --locked -p picker -p pool-state \
    --all-targets --target wasm32-unknown-unknown -- -D warnings -A clippy::unwrap_used \
    -A clippy::expect_used -A clippy::panic -A clippy::indexing_slicing -A clippy::string_slice
check "docs" docs

[ ${#failed[@]} -eq 0 ] || {
    printf 'lint: failed: %s\n' "${failed[@]}"
    exit 1
}
