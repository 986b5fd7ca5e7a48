# Sourced by the scripts that build programs from Go modules into <repo>/.tools. Whoever sources it has
# set `here` (the scripts' directory), `home` (where the programs go) and `set -euo pipefail`.
#
# GO     the go to use; default: the one on the path
# JOBS   how many packages are compiled at a time; default 2

go=${GO:-go}
me=$(basename "$0")

fail() {
    echo "$me: $*" >&2
    exit 1
}

# pinned MODULES MODULE: the version that scripts/MODULES/go.mod names.
pinned() {
    sed -n -E "s|^(require)?[[:space:]]*$2 (v[^ ]+)( .*)?$|\\2|p" "$here/$1/go.mod"
}

# have NAME VERSION: whether the program is there in that version.
have() {
    [ -x "$home/$1" ] && grep -qsx "$1 $2" "$home/versions"
}

# prepare MODULES: refuses a Go that is too old for scripts/MODULES/go.mod, and makes a place to build.
prepare() {
    command -v "$go" >/dev/null || fail "go is missing (Debian: apt install golang-go)"
    local wanted found modules
    wanted=$(sed -n 's/^go //p' "$here/$1/go.mod")
    found=$("$go" env GOVERSION)
    found=${found#go}
    [ "$(printf '%s\n%s\n' "$wanted" "${found%%[!0-9.]*}" | sort -V | head -n 1)" = "$wanted" ] ||
        fail "go $found is too old, at least $wanted is needed"
    mkdir -p "$home"
    scratch=$(mktemp -d "$home/build.XXXXXX")
    # Go makes what it downloads read-only.
    trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
    # A cache of modules that is there already is used and kept; what is built is always removed.
    modules=$("$go" env GOMODCACHE)
    [ -d "$modules" ] || export GOMODCACHE=$scratch/modules
    export CGO_ENABLED=0 GOCACHE=$scratch/cache GOTMPDIR=$scratch GOTOOLCHAIN=local
    export GOFLAGS="-buildvcs=false -p=${JOBS:-2}"
}

# build NAME VERSION MODULES PACKAGE [LDFLAGS]: a package of the module in scripts/MODULES, whose go.sum
# pins all that goes into it, or of a module of its own when MODULES is empty.
build() {
    local name=$1 version=$2 modules=$3 package=$4
    ! have "$name" "$version" || return 0
    echo "$me: building $name $version"
    local flags=(-trimpath -ldflags "-s -w ${5:-}")
    if [ -n "$modules" ]; then
        (cd "$here/$modules" && "$go" build "${flags[@]}" -o "$scratch/$name" "$package")
    else
        # The version pins the module, Go's checksum database its content.
        (cd "$scratch" && GOBIN=$scratch "$go" install "${flags[@]}" "$package@$version")
    fi || fail "$name could not be built"
    # A rename within one file system: nobody ever sees half a binary.
    mv -f "$scratch/$name" "$home/$name"
    touch "$home/versions"
    { grep -v "^$name " "$home/versions" || true; echo "$name $version"; } >"$scratch/versions"
    mv -f "$scratch/versions" "$home/versions"
}
