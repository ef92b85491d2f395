#!/bin/bash
# SUITE → the folder of that suite's newest kernel, unpacked in the cache; exit 1 with the reason if there is none.
# Nothing is installed.
set -euo pipefail

suite=$1
home=${XDG_CACHE_HOME:-$HOME/.cache}/membench/kernels/$suite
if [ -e "$home/release" ]; then
    echo "$home"
    exit
fi

refuse() {
    echo "no kernel of $suite: $*" >&2
    exit 1
}

for tool in apt-get apt-cache dpkg-deb depmod; do
    command -v $tool >/dev/null || refuse "needs $tool"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/../other_suite.sh"
use_suite "$suite" "$work"

newest() {
    apt-cache "${apt[@]}" pkgnames "$1" | grep -E "^$1[0-9][^-]*(-[0-9]+)?-amd64$2\$" | sort -V | tail -n 1 || true
}

# Generic kernels: cloud kernels lack 9p. Newer suites package the image, the modules and the built-in lists separately.
image=$(newest linux-image- -unsigned)
packages=("$image")
if [ -z "$image" ]; then
    image=$(newest linux-binary-unsigned- "")
    packages=("$image" "${image/binary-unsigned/modules}" "${image/binary-unsigned/base}")
fi
[ -n "$image" ] || refuse "its package list has none"
mkdir "$work/debs" "$work/root"
(cd "$work/debs" && apt-get "${apt[@]}" -qq download "${packages[@]}" >&2) || refuse "its packages cannot be had"
for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
done
# Everything under /lib, with the image beside its modules.
if [ -d "$work/root/usr/lib/modules" ]; then
    mkdir -p "$work/root/lib"
    mv "$work/root/usr/lib/modules" "$work/root/lib/modules"
fi
release=$(ls "$work/root/lib/modules")
for found in "$work/root/boot/vmlinuz-$release" "$work/root/lib/modules/$release"/vmlinuz*; do
    [ ! -f "$found" ] || mv "$found" "$work/root/vmlinuz"
done
[ -f "$work/root/vmlinuz" ] || refuse "$image holds no image"
depmod -b "$work/root" "$release"
echo "$release" >"$work/root/release"
mkdir -p "$(dirname "$home")"
chmod 755 "$work/root"
mv -T "$work/root" "$home" 2>/dev/null || [ -e "$home/release" ] || refuse "$home cannot be written"
echo "$home"
