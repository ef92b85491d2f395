#!/bin/bash
# [--update] [SUITE …] → runs the tests that must hold on every kernel, under each suite's kernel, in virtual machines that see
# this machine's files; `host` is this machine's own kernel. Default: the oldest supported (5.10), 6.1, 6.12 and the newest.
# Exit 1 if one fails. TESTS=all runs all tests marked `kernel`, not only those also marked `quick`; JOBS=1 runs one machine
# at a time; RESULTS=FOLDER keeps the output of each step; `--update` runs no tests and replaces the listed instruction
# counts.
set -uo pipefail
cd "$(dirname "$0")/../.."

update=
[ "${1:-}" != --update ] || { update=update && shift; }
suites=("$@")
[ $# -gt 0 ] || suites=(bullseye sid trixie bookworm)
case ${TESTS:-quick} in
quick) chosen="kernel and quick" own=1 ;;
all) chosen=kernel own= ;;
*) echo "TESTS is quick or all, not $TESTS" >&2 && exit 2 ;;
esac
python=$PWD/.venv/bin/python

tests=
[ -n "$update" ] || tests=$(cargo test --quiet --profile fast --no-run --message-format=json -p membench-capture --test kernel --test kernel_preemption |
    "$python" -c 'import json, sys
for line in sys.stdin:
    told = json.loads(line)
    if told.get("executable") and told["target"]["name"].startswith("kernel"):
        print(told["executable"])' | paste -sd ' ') || exit 1

out=${RESULTS:-$(mktemp -d)}
[ -n "${RESULTS:-}" ] || trap 'rm -rf "$out"' EXIT
# Built here: the machines have no compiler.
shim=$out/verified.so
mkdir -p "$out" && cc -shared -fPIC -o "$shim" tests/kernels/verified.c -ldl || exit 1

# RESULT, a path in the machine → the script that runs there. It writes one file a step, and `ended` when it is
# complete.
script() {
    local result=$1
    cat <<RUN
cd $PWD
export MEMBENCH_SHIM=$result/verified.so MEMBENCH_OWN_HOOKS=$own
step() { echo "\$1 \$SECONDS" >>$result/steps; }
step boot
if [ -n "$tests" ]; then
    $python -m membench doctor >$result/doctor 2>&1
    step doctor
    code=0
    for test in $tests; do
        \$test --test-threads 1 --include-ignored --nocapture >>$result/rust 2>&1 || code=\$?
    done
    echo \$code >$result/rust.exit
    step rust
    tests() { $python -m pytest --root -m "$chosen" -k "not current" -o cache_dir=$result/cache -o faulthandler_timeout=0 -v --durations 0 "\$@" tests/root; }
    tests >$result/pytest 2>&1
    code=\$?
    [ \$code != 1 ] || { tests --last-failed >$result/again 2>&1 && code=0; }
    echo \$code >$result/pytest.exit
    step pytest
fi
$python tests/kernels/instructions.py count $result/instructions.tsv >$result/count 2>&1
step instructions
touch $result/ended
RUN
}

# Judges by the files written: the machine's exit code says nothing. Failed tests were run a second time, because a recorder
# that gets no CPU for seconds loses data and says so.
judge() {
    local release=$1 result=$2 step wrong=()
    [ -e "$result/ended" ] || wrong+=("did not end")
    for step in rust pytest; do
        [ -z "$tests" ] || [ "$(cat "$result/$step.exit" 2>/dev/null)" = 0 ] || wrong+=("$step")
    done
    if [ ! -e "$result/instructions.tsv" ] ||
        ! flock "$out" "$python" tests/kernels/instructions.py "${update:-compare}" "$result/instructions.tsv"; then
        wrong+=(instructions)
    fi
    if [ ${#wrong[@]} -eq 0 ]; then
        echo "$release  passed in $SECONDS s  $(told "$result")"
        return 0
    fi
    echo "$release  FAILED in $SECONDS s: ${wrong[*]}"
    tail -n 60 "$result"/{count,rust,pytest,again} 2>/dev/null
    [ -e "$result/ended" ] || tail -n 30 "$result/console"
    return 1
}

told() {
    [ -n "$tests" ] || return 0
    echo "$(grep -oE '(sockets|syscalls): [a-z, ]+' "$1/doctor" | head -n 1);" \
        "$(grep 'test result' "$1/rust" | sed 's/.*ok. //; s/;.*//' | paste -sd+);" \
        "$(tail -n 1 "$1/pytest" | sed 's/=*//g; s/ in .*//')"
    grep '^SKIPPED' "$1/pytest"
    [ ! -e "$1/again" ] || grep '^FAILED' "$1/pytest" | sed 's/^FAILED/passed when tried again:/; s/ - .*//'
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
    cp "$shim" "$result"
    if [ "$suite" = host ]; then
        script "$result" >"$result/run"
        bash "$result/run"
    else
        script /run/result >"$result/run"
        # shellcheck disable=SC2086  # a list of programs
        tests/kernels/boot.sh "$folder" "$result" $tests >"$result/machine" 2>&1
    fi
    judge "$release" "$result"
}

failed=0
for suite in "${suites[@]}"; do
    [ "$(jobs -rp | wc -l)" -lt "${JOBS:-2}" ] || wait -n || failed=1
    {
        run "$suite" >"$out/$suite.told" 2>&1
        code=$?
        cat "$out/$suite.told"
        exit $code
    } &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
exit $failed
