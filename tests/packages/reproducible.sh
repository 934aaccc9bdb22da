#!/bin/sh
# Builds the static program in two folders, and compares the results byte for byte:
#
#     tests/packages/reproducible.sh
#
# It builds what is committed. It needs what packaging/build-static needs, and takes twice as long. If both are equal,
# the program is put where packaging/build-static puts it.
set -eu
cd "$(dirname "$0")/../.."
# Somebody may commit meanwhile.
commit=$(git rev-parse HEAD)
folders=$(mktemp -d)
trap 'rm -rf "$folders"' EXIT
for name in one two-with-another-name; do
  git clone --quiet . "$folders/$name"
  git -C "$folders/$name" checkout --quiet --detach "$commit"
  "$folders/$name/packaging/build-static"
done
program=target/$(uname -m)-unknown-linux-musl/release/ocf-scheduler
cmp "$folders/one/$program" "$folders/two-with-another-name/$program"
mkdir -p "$(dirname "$program")"
cp "$folders/one/$program" "$program"
echo "reproducible.sh: both builds are $(sha256sum < "$folders/one/$program" | cut -d ' ' -f 1)"
