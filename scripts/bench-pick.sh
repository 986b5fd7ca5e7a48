#!/usr/bin/env bash
# What one pick costs: time in V8, the engine that runs the filter in Envoy, and instructions, which
# are the same on every run and therefore can refuse a slower picker.
#
#   scripts/bench-pick.sh                 both
#   scripts/bench-pick.sh instructions    only the instruction counts against
#                                         picker/benches/budgets.txt (x86_64 Linux, valgrind)
#   scripts/bench-pick.sh gate            the same for `make test`: without valgrind it says that
#                                         nothing was counted, and passes
#   scripts/bench-pick.sh time            only the time in V8 (node); writes target/bench/pick.json
#
# The time is that of the fastest of many rounds. Goals are printed beside it and do not decide the
# exit status: a shared machine may be slow, an instruction count may not grow.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
tools=${ZEROHOP_TOOLS:-$root/.tools}
budgets=$root/picker/benches/budgets.txt
report=$root/target/bench/pick.json
tolerance_percent=5

fail() {
    echo "bench-pick.sh: $*" >&2
    exit 1
}

# The goal for a pool of $1 endpoints, in microseconds.
goal_us() {
    case $1 in
    10) echo 5 ;;
    100) echo 20 ;;
    1000) echo 150 ;;
    *) fail "there is no goal for $1 endpoints" ;;
    esac
}

time_in_v8() {
    "$here/get-node.sh" >/dev/null
    export PATH="$PATH:$tools/node/bin"
    if command -v rustup >/dev/null; then
        rustup target add wasm32-wasip1 >/dev/null 2>&1 || fail "rustup could not add wasm32-wasip1"
    fi
    local lines
    # --no-liftoff: only optimised code, as Envoy runs it.
    lines=$(CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings --no-liftoff $here/run-wasi.mjs" \
        cargo bench --quiet --locked -p picker --bench pick_time \
        --target wasm32-wasip1 --profile wasm-release)

    mkdir -p "$(dirname "$report")"
    local figures="" met
    echo "time per pick in V8 (node $(node --version))"
    printf '  %9s  %10s  %8s  %-5s  %s\n' endpoints 'us a pick' 'goal' 'met' 'us with its note'
    while read -r endpoints pick with_note; do
        local goal
        goal=$(goal_us "$endpoints")
        met=$(awk -v value="$pick" -v goal="$goal" 'BEGIN { print (value <= goal) ? "yes" : "NO" }')
        printf '  %9s  %10s  %8s  %-5s  %s\n' "$endpoints" "$pick" "$goal" "$met" "$with_note"
        figures+="${figures:+,}
    {\"id\": \"pick.us.$endpoints\", \"value\": $pick, \"unit\": \"us\", \"goal\": $goal, \"better\": \"lower\"}"
    done <<<"$lines"
    printf '{"bench": "pick", "figures": [%s\n]}\n' "$figures" >"$report"
    echo "figures are in ${report#"$root"/}"
}

instructions() {
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        echo "instructions per pick: not counted, the budgets hold for Linux on x86_64"
        return
    fi
    command -v valgrind >/dev/null ||
        fail "valgrind is missing (Debian: apt install valgrind); 'bench-pick.sh time' runs without"
    local scratch over=0
    scratch=$(mktemp -d)
    # The path is expanded now: the variable is gone when the trap runs.
    trap "rm -rf '$scratch'" EXIT
    cd "$root"
    local program
    program=$(cargo bench --quiet --locked -p picker --bench pick_instructions --no-run \
        --message-format json |
        sed -n 's/.*"name":"pick_instructions".*"executable":"\([^"]*\)".*/\1/p')
    [ -x "$program" ] || fail "cargo did not say where it put the bench pick_instructions"

    echo "instructions per pick (callgrind)"
    printf '  %9s  %12s  %12s  %s\n' endpoints instructions budget change
    local endpoints budget
    while read -r endpoints budget; do
        local picks total
        picks=$(valgrind --quiet --tool=callgrind --toggle-collect='*counted_picks*' \
            --callgrind-out-file="$scratch/out" "$program" "$endpoints" 2>"$scratch/err") ||
            fail "callgrind failed: $(cat "$scratch/err")"
        total=$(sed -n 's/^summary: *//p' "$scratch/out")
        [ "${total:-0}" -gt 0 ] || fail "callgrind counted nothing; was counted_picks renamed?"
        awk -v endpoints="$endpoints" -v total="$total" -v picks="$picks" -v budget="$budget" \
            -v tolerance="$tolerance_percent" 'BEGIN {
                count = int(total / picks + 0.5)
                change = (count / budget - 1) * 100
                note = ""
                if (change > tolerance) note = "  OVER BUDGET"
                if (change < -tolerance) note = "  below: lower the budget"
                printf "  %9d  %12.0f  %12d  %+.1f %%%s\n", endpoints, count, budget, change, note
                exit change > tolerance
            }' || over=1
    done < <(grep -v '^#' "$budgets")
    [ "$over" = 0 ] ||
        fail "a pick takes more than $tolerance_percent % more instructions than ${budgets#"$root"/} allows"
}

cd "$root"
case ${1:-both} in
both)
    time_in_v8
    instructions
    ;;
gate)
    if command -v valgrind >/dev/null; then
        instructions
    else
        echo "instructions per pick: NOT COUNTED, valgrind is missing (Debian: apt install valgrind)"
    fi
    ;;
time) time_in_v8 ;;
instructions) instructions ;;
*) fail "unknown argument $1; see the head of this file" ;;
esac
