#!/bin/sh
# ebpf/ → rust/bpf/objects/NAME.bpf.o and NAME.bpf.sha256, with a pinned toolchain: the same bytes on every machine.
#
#   ./rebuild.sh           rebuild the committed objects
#   ./rebuild.sh --check   rebuild elsewhere and compare; changes nothing
#   ./rebuild.sh FOLDER    build FOLDER, a copy of examples/program, to FOLDER/NAME.bpf.o
#
# Installing membench needs none of this: the objects are committed.
set -eu

# Crates of ebpf/ that become an object. They share ebpf/common and ebpf/lib.
OBJECTS="observe"
# The template for other people's programs: a workspace of its own, which takes nothing from ebpf/.
TEMPLATE=examples/program
RUST=1.96.0
LLVM=22
LINKER=0.10.4

cd "$(dirname "$0")"
checkout=$(pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/membench
linker=$cache/bpf-linker-$LINKER
library=/usr/lib/rustlib/src/rust
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
committed=rust/bpf/objects
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "error: $1" >&2
    exit 1
}

# bpf-linker must use the compiler's own LLVM. Debian packages that LLVM as a library.
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

# Builds the package $1 in the workspace $2. A compiler, folder or flag named in the caller's environment must not reach it.
build() {
    env -i HOME="$HOME" CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" PATH="$linker/bin:/usr/bin:/bin" \
        LD_LIBRARY_PATH="/usr/lib/llvm-$LLVM/lib" RUST_BACKTRACE=0 RUSTC_BOOTSTRAP=1 \
        RUSTC=/usr/bin/rustc CARGO_TARGET_DIR="$target" \
        CARGO_ENCODED_RUSTFLAGS="$(flags)" \
        sh -c 'cd "$1" && /usr/bin/cargo build --locked --release --package "$0"' "$1" "$2"
    "llvm-objcopy-$LLVM" --strip-debug "$target/bpfel-unknown-none/release/$1" "$work/$1.bpf.o"
}

# BTF contains the paths of source files, so this machine's folders are mapped to fixed ones.
flags() {
    printf -- '-Clink-arg=--btf\037-Cdebuginfo=2\037-Ctarget-cpu=v3'
    printf '\037--remap-path-prefix=%s=%s' "$checkout" /membench "$registry" /registry "$library" /rust
}

# Hashes one object and everything that goes into it. bytecode.rs and form.sh know the same list.
hashes() {
    git ls-files -- ebpf/.cargo ebpf/Cargo.toml ebpf/Cargo.lock ebpf/common ebpf/lib "ebpf/$1" rebuild.sh |
        LC_ALL=C sort | xargs sha256sum
    sha256sum <"$work/$1.bpf.o" | sed "s|-\$|$committed/$1.bpf.o|"
}

# Compares the file $1 of this build with the committed one in the folder $2, which $3 builds.
compare() {
    cmp "$work/$1" "$2/$1" || fail "$2/$1 is not what $3 builds; ./rebuild.sh"
}

# Prints the name of the package in a folder.
package() {
    sed -n 's/^name = "\([a-z0-9_-]*\)"$/\1/p' "$1/Cargo.toml" | head -n 1
}

case ${1:-} in
"") target=$cache/ebpf ;;
--check) target=$work/target ;;
-*) fail "usage: ./rebuild.sh [--check | FOLDER]" ;;
*)
    [ -n "$(package "$1")" ] || fail "$1/Cargo.toml names no package; copy $TEMPLATE"
    target=$cache/program
    ;;
esac

install_packages
install_linker
/usr/bin/rustc --version | grep -q "^rustc $RUST " || fail "wanted rustc $RUST, found: $(/usr/bin/rustc --version)"
if [ -d "${1:-}" ]; then
    build "$(package "$1")" "$1"
    mv "$work"/*.bpf.o "$1/"
    exit
fi

for object in $OBJECTS; do
    build "$object" ebpf
    hashes "$object" >"$work/$object.bpf.sha256"
done

if [ "${1:-}" = --check ]; then
    for object in $OBJECTS; do
        compare "$object.bpf.o" "$committed" "ebpf/$object"
        compare "$object.bpf.sha256" "$committed" "ebpf/$object"
        echo "$committed/$object.bpf.o is what ebpf/$object builds"
    done
    compare "$template.bpf.o" "$TEMPLATE" "$TEMPLATE"
    echo "$TEMPLATE/$template.bpf.o is what it builds"
else

    mkdir -p "$committed"
    mv "$work"/*.bpf.o "$work"/*.bpf.sha256 "$committed/"
fi
