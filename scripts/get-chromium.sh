#!/usr/bin/env bash
# Makes sure that there is a Chromium for the tests of the status page: the one that CHROMIUM names, the
# system's own, or Debian's package where this may be installed.
set -euo pipefail

chromium=${CHROMIUM:-chromium}
if ! command -v "$chromium" >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
        echo "get-chromium.sh: please install Chromium (Debian: apt install chromium), or name one in CHROMIUM" >&2
        exit 1
    }
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
echo "chromium: $("$chromium" --version 2>/dev/null | head -n 1)"
