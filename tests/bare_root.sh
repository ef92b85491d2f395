#!/bin/bash
# SUITE [USER [FOLDER]] → `make demo` and `make test` of what is committed here, in a bare root of that Debian suite, as USER
# (root) in FOLDER (/root); says how long they took and what they left on the disk. Exit 1 if one fails. The root shares this
# machine's kernel, network, Rust and certificates, as a privileged container would. ROOT=FOLDER keeps it there, or uses what
# is there.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=$1 user=${2:-root} folder=${3:-/root}
if [ -z "${INSIDE:-}" ]; then
    # What is mounted below goes with the last process in here.
    exec unshare --mount --propagation private env INSIDE=1 "$0" "$@"
fi
root=${ROOT:-$(mktemp -d)}
clean() {
    ! mountpoint -q "$root" || umount --recursive --lazy "$root" || return
    rm -rf --one-file-system "$root"
}
[ -n "${ROOT:-}" ] || trap clean EXIT

say() {
    echo "== $(date +%T) $suite $user $folder: $*"
}

# FOLDER PLACE → the folder there, to be read only.
lend() {
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    mount -o remount,bind,ro "$root$2"
}

inside() {
    chroot --userspec="$1:$1" "$root" env -i HOME="$home" LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"
}

if [ ! -e "$root/etc/debian_version" ]; then
    SECONDS=0
    debootstrap --variant=minbase --include=make,git,ca-certificates "$suite" "$root" >/dev/null
    say "bare root made in $SECONDS s, $(du -sm "$root" | cut -f1) MB"
fi
# A container's root is a mount, too: tests with mounts of their own begin there.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/net"
touch "$root/dev/net/tun"
mount --bind /dev/net/tun "$root/dev/net/tun"
mkdir -m 1777 "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
lend "$(git rev-parse --path-format=absolute --git-common-dir)" /mnt/repository
lend "$(rustc --print sysroot)" /opt/rust
cp /etc/resolv.conf "$root/etc/"
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
# An installed memcached does not start, as in a container.
install -m 755 /dev/stdin "$root/usr/sbin/policy-rc.d" <<<'exit 101'
home=/root
inside root update-ca-certificates >/dev/null 2>&1
if [ "$user" != root ]; then
    home=/home/$user
    inside root id "$user" >/dev/null 2>&1 || inside root useradd --create-home "$user"
    chmod 755 "$root/root"
fi
checkout=$folder/membench
if [ ! -e "$root$checkout" ]; then
    inside root git -c safe.directory='*' clone --quiet /mnt/repository "$checkout"
    inside root git -C "$checkout" checkout --quiet "$(git rev-parse HEAD)"
    inside root chown -R "$user:$user" "$checkout"
fi

# TARGET → the target as the user makes it. A user who is told what to install has root type it, and makes it again.
made() {
    local missing before=
    until inside "$user" make -C "$checkout" "$1" 2> >(tee "$root/tmp/told" >&2); do
        missing=$(sed -n 's/.*install with: sudo //p' "$root/tmp/told" | tail -n 1)
        [ -n "$missing" ] && [ "$missing" != "$before" ] || return 1
        before=$missing
        say "root is told to type: $missing"
        inside root sh -c "apt-get update -qq && $missing -qq" >/dev/null
    done
}

for target in demo test; do
    SECONDS=0 code=0
    made $target || code=1
    say "make $target: exit $code, $SECONDS s, checkout $(du -sm "$root$checkout" | cut -f1) MB," \
        "registry $(du -sm "$root$home/.cargo" 2>/dev/null | cut -f1) MB, root $(du -smx "$root" | cut -f1) MB"
    [ $code = 0 ] || exit 1
done
