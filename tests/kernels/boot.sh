#!/bin/bash
# FOLDER RESULT [PROGRAM …] → runs RESULT/run under the kernel of FOLDER, in a virtual machine that sees this machine's files
# and can change RESULT only. Python, the tests and the programs are copied into its memory, because every access to another
# file is a message between the emulated machine and this one. LIMIT is the longest run, s.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$1 result=$2
shift 2
release=$(cat "$folder/release")
python=$PWD/.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/machine"

unpacked() {
    case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) zstd -dcq "$1" ;;
    *) cat "$1" ;;
    esac
}

# Modules that access to this machine's files needs, in dependency order.
modules() {
    local module
    for module in virtio_pci 9pnet_virtio 9p overlay; do
        modprobe -d "$folder" -S "$release" --show-depends $module
    done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r module; do
        unpacked "$module" >"$work/machine/$(basename "${module%.ko*}").ko"
        echo "/machine/$(basename "${module%.ko*}").ko"
    done
}

# Files of Python and the tests, without packages that no test in the machine imports.
files() {
    find "$standard" \( -name site-packages -o -name test -o -name 'config-*' -o -name idlelib -o -name ensurepip \) \
        -prune -o -print
    find "$packages" -regextype egrep \
        -regex "$packages/(_?duckdb|adbc_driver_duckdb|_?polars|boto|libcachesim|mypy|numpy|pip|ruff|setuptools|.*__mypyc|ast_serialize).*" -prune -o \
        -regex '.*/pyarrow/(include|tests|libarrow_(flight|s3).*)' -prune -o -print
    find "$PWD/tests" "$PWD/python" -print
}

# Programs → their files and libraries.
programs() {
    local program
    for program in bash sh cat env grep head ip memcached mkdir mount nsenter rm setpriv sleep tc tcpdump umount unshare \
        "$python" "$@"; do
        program=$(command -v "$program") || continue
        realpath "$program"
        ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | xargs -r realpath
    done
}

# Paths → each path after its parent folders, every folder once.
led_to() {
    awk -F/ '{path = ""; for (at = 2; at <= NF; at++) {path = path "/" $at; if (!seen[path]++) print substr(path, 2)}}'
}

standard=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n' "$standard" "$packages" "$PWD/tests" "$PWD/python" >"$work/machine/whole"
modules >"$work/machine/modules"
echo "$folder" >"$work/machine/kernel"
cp "$(command -v busybox)" "$work/machine/busybox"
install -m 755 tests/kernels/init "$work/init"
{
    (cd "$work" && find init machine | busybox cpio -o -H newc)
    { files || true; programs "$@"; } | led_to | (cd / && busybox cpio -o -H newc)
} >"$work/image"

# Turns off what slows an emulated machine and no test needs.
faster="mitigations=off init_on_alloc=0 audit=0 apparmor=0 tsc=reliable rcupdate.rcu_expedited=1"
timeout -k 10 "${LIMIT:-3600}" qemu-system-x86_64 \
    -machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max,la57=off -smp 2 -m 4G \
    -nodefaults -no-reboot -display none -serial "file:$result/console" \
    -kernel "$folder/vmlinuz" -initrd "$work/image" -append "console=ttyS0 loglevel=5 panic=-1 $faster" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -virtfs "local,path=$result,mount_tag=result,security_model=none"
