#!/usr/bin/env bash
# Makes sure that there are prometheus and promtool: the system's own, or Debian's package where this may
# be installed.
set -euo pipefail

if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
        echo "get-prometheus.sh: please install Prometheus (Debian: apt install prometheus)" >&2
        exit 1
    }
    apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null
fi
prometheus --version 2>&1 | head -n 1
