#!/bin/sh
# Installs, upgrades, removes and purges the Debian package with dpkg, in a root of its own:
#
#     packaging/build-static && packaging/deb && tests/packages/deb.sh [FILE.deb]
#
# It needs root and debootstrap. MIRROR and SUITE name the Debian that is installed from.
set -eu
cd "$(dirname "$0")/../.."
package=${1:-$(ls -t target/debian/*.deb | head -n 1)}
root=$(mktemp -d)
# Its users look into it.
chmod 0755 "$root"
service=

finish() {
  if [ -n "$service" ]; then kill "$service" 2>/dev/null || true; fi
  umount "$root/proc" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap finish EXIT
trap 'exit 1' INT TERM

fail() { echo "deb.sh: $*" >&2; exit 1; }
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
# PATH, owner and mode of what the package has made.
belongs() {
  is=$(inside stat -c '%U:%G %a' "$1")
  [ "$is" = "$2" ] || fail "$1 is $is, not $2"
}
is_kept() {
  for path in /etc/ocf-scheduler/environment /etc/ocf-scheduler/standalone.toml /var/lib/ocf-scheduler/scheduler.db; do
    [ -e "$root$path" ] || fail "$path is gone"
  done
}
# Starts the service as its unit does, and waits until it answers.
start() {
  sed -n 's/^\([A-Z_]*=.*\)/export \1/p' "$root/etc/ocf-scheduler/environment" > "$root/tmp/environment"
  chroot --userspec=ocf-scheduler:ocf-scheduler "$root" /usr/bin/env -i PATH=/usr/bin:/bin \
    sh -c '. /tmp/environment; cd /var/lib/ocf-scheduler; umask 077; exec /usr/bin/ocf-scheduler standalone' \
    > "$root/tmp/log" 2>&1 &
  service=$!
  tries=0
  until inside ocf-scheduler health --port "$port" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat "$root/tmp/log" >&2; fail "the service does not answer"; }
    sleep 0.2
  done
}
stop() {
  kill "$service"
  wait "$service" || fail "the service ended with $?"
  service=
}
client() {
  token=$(sed -n 's/^token = "\(.*\)"/\1/p' "$root/etc/ocf-scheduler/standalone.toml")
  inside SCHEDULER_URL="http://127.0.0.1:$port" SCHEDULER_TOKEN="$token" SCHEDULER_APP=main ocf-scheduler "$@"
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mirror=${MIRROR:-http://deb.debian.org/debian}
debootstrap --variant=minbase --include=adduser "${SUITE:-bookworm}" "$root" "$mirror" > "$root.log" 2>&1 \
  || { tail -n 20 "$root.log" >&2; fail "debootstrap failed"; }
rm -f "$root.log"
mount -t proc proc "$root/proc"

# A newer version of the same.
cp "$package" "$root/tmp/old.deb"
dpkg-deb --raw-extract "$package" "$root/tmp/newer"
sed -i 's/^Version: .*/&+newer/' "$root/tmp/newer/DEBIAN/control"
dpkg-deb --root-owner-group --build "$root/tmp/newer" "$root/tmp/newer.deb" >/dev/null

inside dpkg --install /tmp/old.deb
inside getent passwd ocf-scheduler | grep -q ':/var/lib/ocf-scheduler:/usr/sbin/nologin$' || fail "no system user"
belongs /var/lib/ocf-scheduler 'ocf-scheduler:ocf-scheduler 750'
belongs /etc/ocf-scheduler/standalone.toml 'ocf-scheduler:ocf-scheduler 600'
belongs /etc/ocf-scheduler/environment 'root:root 644'
for file in share/man/man1/ocf-scheduler.1.gz share/bash-completion/completions/ocf-scheduler \
  share/zsh/vendor-completions/_ocf-scheduler share/fish/vendor_completions.d/ocf-scheduler.fish \
  share/doc/ocf-scheduler/copyright; do
  # Debian's images for containers leave out documents; a root of debootstrap has them.
  [ -s "$root/usr/$file" ] || fail "/usr/$file is missing"
done
unit=lib/systemd/system/ocf-scheduler.service
[ -s "$root/usr/$unit" ] || [ -s "$root/$unit" ] || fail "the unit is missing"
echo "SCHEDULER_PORT=$port" >> "$root/etc/ocf-scheduler/environment"
tokens=$(cat "$root/etc/ocf-scheduler/standalone.toml")
start
client create-job hello 'echo hello'
client run hello --wait
client logs hello | grep -qx hello || fail "the job printed nothing"

# Over the running one: it goes on, and the next start is the newer program.
inside dpkg --force-confold --install /tmp/newer.deb
inside dpkg-query --show --showformat '${Version}\n' ocf-scheduler | grep -q '+newer$' || fail "not upgraded"
inside ocf-scheduler health --port "$port"
is_kept
grep -qx "SCHEDULER_PORT=$port" "$root/etc/ocf-scheduler/environment" || fail "a setting is gone"
[ "$tokens" = "$(cat "$root/etc/ocf-scheduler/standalone.toml")" ] || fail "the tokens are others"
stop
start
client run hello --wait
stop

inside dpkg --remove ocf-scheduler
[ ! -e "$root/usr/bin/ocf-scheduler" ] || fail "the program is still there"
is_kept
inside dpkg --force-confold --install /tmp/old.deb
start
client history hello | grep -c SUCCEEDED | grep -qx 2 || fail "the history is not that from before"
stop

inside dpkg --purge ocf-scheduler
for path in /etc/ocf-scheduler /var/lib/ocf-scheduler /usr/bin/ocf-scheduler; do
  [ ! -e "$root$path" ] || fail "$path is still there: $(ls -A "$root$path")"
done
echo "deb.sh: installed, upgraded, removed and purged $package"
