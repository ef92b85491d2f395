#!/bin/bash
# [--update] [SUITE …] → what must hold on every kernel, under each suite's kernel, in a virtual machine with this machine's
# files; `host` is this machine's own kernel. By default the oldest that is supported (5.10), two more (6.1, 6.12) and the
# newest. Exit 1 if one fails. TESTS=all runs all tests marked `kernel`; RESULTS=FOLDER keeps what each step printed;
# `--update` only lists anew how many instructions the verifiers go through.
set -uo pipefail
cd "$(dirname "$0")/../.."

update=
[ "${1:-}" != --update ] || { update=update && shift; }
suites=("$@")
[ $# -gt 0 ] || suites=(bullseye bookworm trixie sid)
case ${TESTS:-quick} in
quick) chosen=tests/root/test_byte_exact.py ;;
all) chosen=tests/root ;;
*) echo "TESTS is quick or all, not $TESTS" >&2 && exit 2 ;;
esac
python=$PWD/.venv/bin/python
# Seconds for one kernel: without KVM the quick ones take minutes. A machine that hangs is ended.
limit=${LIMIT:-3600}

tests=
[ -n "$update" ] || tests=$(cargo test --quiet --no-run --message-format=json -p membench --test kernel |
    "$python" -c 'import json, sys
for line in sys.stdin:
    told = json.loads(line)
    if told.get("executable") and told["target"]["name"] == "kernel":
        print(told["executable"])') || exit 1

out=${RESULTS:-$(mktemp -d)}
links=()
tidy() {
    for link in "${links[@]}"; do rm -f "$link"; done
    rmdir --ignore-fail-on-non-empty /lib/modules 2>/dev/null
    [ -n "${RESULTS:-}" ] || rm -rf "$out"
}
trap tidy EXIT

# FOLDER → the script that runs there and writes one file for each step, and `ended` when it is through.
script() {
    local result=$1
    cat <<RUN
cd $PWD
step() { echo "\$1 after \$SECONDS s" >>$result/steps; }
$python tests/kernels/instructions.py count $result/instructions.tsv >$result/count 2>&1
step instructions
if [ -n "$tests" ]; then
    $python -m membench doctor >$result/doctor 2>&1
    step doctor
    MEMBENCH_REQUIRE_ROOT=1 $tests --test-threads 1 --include-ignored >$result/rust 2>&1
    echo \$? >$result/rust.exit
    step rust
    $python -m pytest --root -m kernel -k "not current" -p no:cacheprovider -q $chosen >$result/pytest 2>&1
    echo \$? >$result/pytest.exit
    step pytest
fi
touch $result/ended
RUN
}

# RESULT → the same under another kernel. What the machine writes elsewhere than there is gone with it.
boot() {
    local folder=$1 release=$2 result=$3 link=/lib/modules/$2
    mkdir -p /lib/modules
    if [ ! -e "$link" ]; then
        ln -s "$folder/lib/modules/$release" "$link"
        links+=("$link")
    fi
    cat >"$result/boot" <<BOOT
ip link set lo up
mkdir -p /run/tests
export TMPDIR=/run/tests MEMBENCH_PATIENCE=20 PYTHONDONTWRITEBYTECODE=1
exec bash $result/run
BOOT
    PATH=$PWD/.venv/bin:$PATH timeout -k 10 "$limit" "$python" "$PWD/.venv/bin/vng" -v --disable-kvm --force-9p \
        --cpus 2 --memory 3G --rwdir="$result" --run "$folder/vmlinuz" --user root -- "bash $result/boot" \
        </dev/null >"$result/console" 2>&1
}

# The machine's own exit code says nothing: what was written does.
judge() {
    local release=$1 result=$2 step wrong=()
    [ -e "$result/ended" ] || wrong+=("did not end")
    for step in rust pytest; do
        [ -z "$tests" ] || [ "$(cat "$result/$step.exit" 2>/dev/null)" = 0 ] || wrong+=("$step")
    done
    if [ ! -e "$result/instructions.tsv" ] ||
        ! "$python" tests/kernels/instructions.py "${update:-compare}" "$result/instructions.tsv"; then
        wrong+=(instructions)
    fi
    if [ ${#wrong[@]} -eq 0 ]; then
        echo "$release  passed in $SECONDS s  $(told "$result")"
        return 0
    fi
    echo "$release  FAILED in $SECONDS s: ${wrong[*]}"
    tail -n 60 "$result"/{count,rust,pytest} 2>/dev/null
    [ -e "$result/ended" ] || tail -n 30 "$result/console"
    return 1
}

told() {
    [ -n "$tests" ] || return 0
    echo "$(grep -oE 'T[12]: [a-z, ]+' "$1/doctor" | head -n 1);" \
        "$(grep 'test result' "$1/rust" | sed 's/.*ok. //; s/;.*//');" \
        "$(tail -n 1 "$1/pytest" | sed 's/ in .*//')"
    grep '^SKIPPED' "$1/pytest"
}

run() {
    local suite=$1 folder release result
    SECONDS=0
    if [ "$suite" = host ]; then
        release=$(uname -r)
    else
        folder=$(tests/kernels/fetch.sh "$suite") || return 1
        release=$(cat "$folder/release")
    fi
    result=$out/$suite
    rm -rf "$result"
    mkdir -p "$result"
    script "$result" >"$result/run"
    if [ "$suite" = host ]; then
        bash "$result/run"
    else
        boot "$folder" "$release" "$result"
    fi
    judge "$release" "$result"
}

failed=0
for suite in "${suites[@]}"; do
    run "$suite" || failed=1
done
exit $failed
