#!/bin/bash
# [SUITE] → the path of that suite's memcached (default: sid), from this machine's package archive, kept in the cache;
# exit 1 with the reason if there is none. Nothing is installed: it runs with libraries of its own suite.
set -euo pipefail

suite=${1:-sid}
home=${XDG_CACHE_HOME:-$HOME/.cache}/membench/memcached-$suite

if [ -x "$home/memcached" ]; then
    echo "$home/memcached"
    exit
fi

refuse() {
    echo "no memcached of $suite: $*" >&2
    exit 1
}

for tool in apt-get apt-cache dpkg-deb; do
    command -v $tool >/dev/null || refuse "needs $tool"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/other_suite.sh"
use_suite "$suite" "$work"
mkdir -p "$work"/{debs,root}

# PACKAGE → the libraries that it depends on.
libraries() {
    apt-cache "${apt[@]}" depends --important --no-conflicts --no-breaks --no-replaces "$1" |
        awk '$1 ~ /Depends:$/ && $2 ~ /^(lib|zlib)/ {print $2}'
}

packages=(memcached)
for ((at = 0; at < ${#packages[@]}; at++)); do
    for library in $(libraries "${packages[at]}"); do
        [[ " ${packages[*]} " == *" $library "* ]] || packages+=("$library")
    done
done
(cd "$work/debs" && apt-get "${apt[@]}" -qq download "${packages[@]}" >&2) || refuse "its packages cannot be had"
for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
done

# A process is named after the file it was started from, so the dynamic loader is copied as `memcached`.
folder=$work/root/loader
mkdir "$folder"
cp "$(find -L "$work/root" -name 'ld-linux-*.so.*' -type f | head -n 1)" "$folder/memcached"
cat >"$work/memcached" <<'RUN'
#!/bin/bash
here=$(dirname "$(readlink -f "$0")")
root=$here/root
libraries=$(find "$root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
exec "$root/loader/memcached" --library-path "$libraries" "$root/usr/bin/memcached" "$@"
RUN
chmod +x "$work/memcached"
"$work/memcached" -V >&2 || refuse "it does not run here"
rm -rf "$work"/{parts,lists,cache,debs,all}
mkdir -p "$(dirname "$home")"
chmod 755 "$work"
mv -T "$work" "$home" 2>/dev/null || [ -x "$home/memcached" ] || refuse "$home cannot be written"
trap - EXIT
echo "$home/memcached"
