#!/bin/sh
# Checks that a program runs on any Linux:
#
#     packaging/build-static && tests/packages/static.sh [PROGRAM]
set -eu
cd "$(dirname "$0")/../.."
program=${1:-target/$(uname -m)-unknown-linux-musl/release/ocf-scheduler}
fail() { echo "static.sh: $program $*" >&2; exit 1; }

if readelf --program-headers "$program" | grep -q INTERP; then fail "needs a dynamic linker"; fi
if readelf --dynamic "$program" | grep -q NEEDED; then fail "needs libraries: $(readelf --dynamic "$program" | grep NEEDED)"; fi
if strings "$program" | grep -q "$HOME/"; then fail "holds a path of this machine"; fi
size=$(wc -c < "$program")
# In a root that holds nothing else.
if [ "$(id -u)" = 0 ]; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  cp "$program" "$root/program"
  chroot "$root" /program version
fi
echo "static.sh: $program is static and has $size bytes"
