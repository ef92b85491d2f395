#!/bin/bash
# Debian packages → installs those missing as root, otherwise prints the command that installs them.
set -euo pipefail

missing=()
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "this is no Debian: install the equivalents of ${missing[*]}" >&2
elif [ "$(id -u)" = 0 ]; then
    apt-get install -y -qq "${missing[@]}" >/dev/null || {
        apt-get update -qq && apt-get install -y -qq "${missing[@]}" >/dev/null
    }
else
    echo "missing; install with: sudo apt-get install -y ${missing[*]}" >&2
fi
