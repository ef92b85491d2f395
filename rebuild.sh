#!/bin/sh
# ebpf/ → rust/bpf/membench.bpf.o and its hashes, with a pinned toolchain: the same bytes on every machine.
#
#   ./rebuild.sh           rebuild the committed object
#   ./rebuild.sh --check   rebuild elsewhere and compare; changes nothing
#
# Installing membench needs none of this: the object is committed.
set -eu

RUST=1.96.0
LLVM=22
LINKER=0.10.4

cd "$(dirname "$0")"
checkout=$(pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/membench
linker=$cache/bpf-linker-$LINKER
library=/usr/lib/rustlib/src/rust
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "error: $1" >&2
    exit 1
}

# Debian's compiler, whose LLVM is also packaged as a library: bpf-linker must use the same.
install_packages() {
    packages="rustc-web cargo-web rust-web-src llvm-$LLVM llvm-$LLVM-dev"
    # shellcheck disable=SC2086  # a list of words
    dpkg -s $packages >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] || fail "run as root: apt-get install --no-install-recommends $packages"
    apt-get update
    # shellcheck disable=SC2086
    apt-get install --yes --no-install-recommends $packages
}

install_linker() {
    [ -x "$linker/bin/bpf-linker" ] && return
    command -v cargo >/dev/null || fail "install Rust first: https://rustup.rs"
    cargo install --locked bpf-linker --version "$LINKER" --root "$linker"
}

# The environment may name another compiler, folder or flags: none of them may reach the object.
build() {
    env -i HOME="$HOME" CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" PATH="$linker/bin:/usr/bin:/bin" \
        LD_LIBRARY_PATH="/usr/lib/llvm-$LLVM/lib" RUST_BACKTRACE=0 RUSTC_BOOTSTRAP=1 \
        RUSTC=/usr/bin/rustc CARGO_TARGET_DIR="$target" \
        CARGO_ENCODED_RUSTFLAGS="$(flags)" \
        sh -c "cd ebpf && /usr/bin/cargo build --locked --release"
    "llvm-objcopy-$LLVM" --strip-debug "$target/bpfel-unknown-none/release/membench" "$work/membench.bpf.o"
}

# BTF holds the names of source files: those of this machine's folders become fixed ones.
flags() {
    printf -- '-Clink-arg=--btf\037-Cdebuginfo=2\037-Ctarget-cpu=v3'
    printf '\037--remap-path-prefix=%s=%s' "$checkout" /membench "$registry" /registry "$library" /rust
}

# Everything the object is made of, and the object.
hashes() {
    git ls-files -- ebpf rebuild.sh | LC_ALL=C sort | xargs sha256sum
    sha256sum <"$1" | sed 's|-$|rust/bpf/membench.bpf.o|'
}

case ${1:-} in
"") target=$cache/ebpf ;;
--check) target=$work/target ;;
*) fail "usage: ./rebuild.sh [--check]" ;;
esac

install_packages
install_linker
/usr/bin/rustc --version | grep -q "^rustc $RUST " || fail "wanted rustc $RUST, found: $(/usr/bin/rustc --version)"
build
hashes "$work/membench.bpf.o" >"$work/membench.bpf.sha256"

if [ "${1:-}" = --check ]; then
    cmp "$work/membench.bpf.o" rust/bpf/membench.bpf.o || fail "the committed object is not what ebpf/ builds"
    cmp "$work/membench.bpf.sha256" rust/bpf/membench.bpf.sha256 || fail "the committed hashes are out of date"
    echo "rust/bpf/membench.bpf.o is what ebpf/ builds"
else
    mkdir -p rust/bpf
    mv "$work/membench.bpf.o" "$work/membench.bpf.sha256" rust/bpf/
fi
