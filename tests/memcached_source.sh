#!/bin/bash
# [SUITE] → the folder of the source of that suite's memcached (default: this machine's release), with its tests, from this
# machine's package archive, kept in the cache; exit 1 with the reason if there is none. Nothing is installed or built.
set -euo pipefail

suite=${1:-$(. /etc/os-release && echo "${VERSION_CODENAME:-}")}
home=${XDG_CACHE_HOME:-$HOME/.cache}/membench/memcached-source-$suite

if [ -d "$home/t" ]; then
    echo "$home"
    exit
fi

refuse() {
    echo "no source of memcached of $suite: $*" >&2
    exit 1
}

for tool in apt-get xz; do
    command -v $tool >/dev/null || refuse "needs $tool"
done
mkdir -p "$(dirname "$home")"
work=$(mktemp -d -p "$(dirname "$home")")
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/other_suite.sh"
use_suite "$suite" "$work"
mkdir "$work/source" "$work/packed"
(cd "$work/packed" && apt-get "${apt[@]}" -qq source --download-only memcached >&2) || refuse "its package cannot be had"
tar -xf "$work"/packed/*.orig.tar.* -C "$work/source" --strip-components 1 || refuse "its package cannot be unpacked"
[ -d "$work/source/t" ] || refuse "it has no tests"
mkdir -p "$(dirname "$home")"
chmod 755 "$work/source"
mv -T "$work/source" "$home" 2>/dev/null || [ -d "$home/t" ] || refuse "$home cannot be written"
echo "$home"
