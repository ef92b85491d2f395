#!/bin/bash
# [SUITE …] → the kernel tests under each suite's kernel, in a virtual machine with this machine's files; by default the
# oldest that is supported (5.10), two more (6.1, 6.12) and the newest. Exit 1 if one fails.
set -uo pipefail
cd "$(dirname "$0")/../.."

suites=("$@")
[ $# -gt 0 ] || suites=(bullseye bookworm trixie sid)
python=$PWD/.venv/bin/python
# Without KVM a virtual machine takes 2 minutes for it; one that hangs is ended.
limit=900

tests=$(cargo test --quiet --no-run --message-format=json -p membench --test kernel |
    "$python" -c 'import json, sys
for line in sys.stdin:
    told = json.loads(line)
    if told.get("executable") and told["target"]["name"] == "kernel":
        print(told["executable"])') || exit 1

out=$(mktemp -d)
links=()
tidy() {
    for link in "${links[@]}"; do rm -f "$link"; done
    rmdir --ignore-fail-on-non-empty /lib/modules 2>/dev/null
    rm -rf "$out"
}
trap tidy EXIT

run() {
    local folder=$1 release link result
    release=$(cat "$folder/release")
    link=/lib/modules/$release
    result=$out/$release
    mkdir -p /lib/modules "$result"
    if [ ! -e "$link" ]; then
        ln -s "$folder/lib/modules/$release" "$link"
        links+=("$link")
    fi
    cat >"$result/run" <<RUN
uname -r >$result/release
ip link set lo up
cd $PWD
$python -m membench doctor >$result/doctor 2>&1
MEMBENCH_REQUIRE_ROOT=1 $tests --test-threads 1 --include-ignored >$result/tests 2>&1
echo \$? >$result/exit
RUN
    PATH=$PWD/.venv/bin:$PATH timeout $limit "$python" "$PWD/.venv/bin/vng" -v --disable-kvm --force-9p --cpus 2 \
        --memory 2G --rwdir="$result" --run "$folder/vmlinuz" --user root -- "bash $result/run" \
        </dev/null >"$result/console" 2>&1
    # The machine's own exit code says nothing: what was written does.
    if [ "$(cat "$result/exit" 2>/dev/null)" = 0 ]; then
        echo "$release  passed  $(grep -oE 'T[12]: [a-z, ]+' "$result/doctor" | head -n 1);" \
            "$(grep 'test result' "$result/tests" | sed 's/.*ok. //; s/;.*//')"
        return 0
    fi
    echo "$release  FAILED"
    tail -n 30 "$result/tests" 2>/dev/null || tail -n 30 "$result/console"
    return 1
}

failed=0
for suite in "${suites[@]}"; do
    if folder=$(tests/kernels/fetch.sh "$suite"); then
        run "$folder" || failed=1
    else
        failed=1
    fi
done
exit $failed
