#!/bin/bash
# [--required] PACKAGE… → installs those Debian packages that are missing, as root; otherwise prints the command that
# installs them, and fails if they are required. `a|b` is whichever of the two this release has.
set -euo pipefail

required=
if [ "${1:-}" = --required ]; then
    required=yes
    shift
fi

# PACKAGE → true if it is installed.
installed() {
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

# NAME|NAME → nothing if one is installed, else the first that can be had.
lacking() {
    local names name
    IFS='|' read -ra names <<<"$1"
    for name in "${names[@]}"; do
        installed "$name" && return
    done
    for name in "${names[@]}"; do
        apt-cache show "$name" >/dev/null 2>&1 && break
    done
    echo "$name"
}

if ! command -v apt-get >/dev/null; then
    command -v cc >/dev/null || echo "this is no Debian: install the equivalents of $*" >&2
    exit
fi
missing=()
for package in "$@"; do
    # Any C compiler links.
    [ "$package" = gcc ] && command -v cc >/dev/null && continue
    name=$(lacking "$package")
    [ -z "$name" ] || missing+=("$name")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ]; then
    apt-get install -y -qq "${missing[@]}" >/dev/null || {
        apt-get update -qq && apt-get install -y -qq "${missing[@]}" >/dev/null
    }
else
    echo "missing; install with: sudo apt-get install -y ${missing[*]}" >&2
    [ -z "$required" ] || exit 1
fi
