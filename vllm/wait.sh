#!/usr/bin/env bash
# Waits until every replica answers /health, at most $ZEROHOP_VLLM_WAIT seconds (default 600).
#
#   vllm/wait.sh PORT...
set -euo pipefail

[ $# -gt 0 ] || {
    echo "usage: vllm/wait.sh PORT..." >&2
    exit 2
}
deadline=$((SECONDS + ${ZEROHOP_VLLM_WAIT:-600}))
for port in "$@"; do
    until curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$port/health"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "vllm/wait.sh: the replica on port $port does not answer" >&2
            exit 1
        fi
        # Nobody waits for the answer any more.
        kill -0 "$PPID" 2>/dev/null || exit 1
        sleep 0.5
    done
done
