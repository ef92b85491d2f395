#!/bin/bash
# The tree → every break of a rule about its form, one a line; exit 1 if there is any.
set -uo pipefail
cd "$(dirname "$0")/.."

engine=rust/src shared=ebpf/common package=python/membench
broken=0

refuse() { # RULE, then what breaks it on stdin
    local found
    found=$(cat)
    if [ -n "$found" ]; then
        printf '%s\n' "$found" | sed "s|^|$1: |"
        broken=1
    fi
}

first_line() { head -n 1 "$1"; }

grep -rln pyo3 $engine --include='*.rs' | grep -Ev "^$engine/(py/|lib\.rs$)" | refuse 'Python only in bindings'
grep -rnw unsafe $engine $shared/src rust/protocol/src --include='*.rs' | grep -Ev "^$engine/sys(\.rs:|/)" |
    refuse 'unsafe only in sys.rs'
sources=(rust/src rust/protocol ebpf python tests)
{
    grep -rnwE 'TODO|FIXME|XXX|HACK' "${sources[@]}" --include='*.rs' --include='*.py'
    grep -rniE 'for now|placeholder' "${sources[@]}" --include='*.rs' --include='*.py'
} | refuse 'unfinished'
grep -rnE '\bprint\(|sys\.exit' $package --include='*.py' | grep -Ev '/cli/|__main__' | refuse 'the library does not talk'
grep -rnE '^ *(from|import) typer' $package --include='*.py' | grep -v /cli/ | refuse 'Typer at the door only'
grep -rnE '^ *(from|import) rich' $package --include='*.py' | grep -Ev '/(cli|report)/' | refuse 'Rich in reports only'
grep -rl 'repr(C)' $engine --include='*.rs' | refuse 'one definition of shared types'
git ls-files 'rust/src/*.rs' 'rust/protocol/src/*.rs' 'ebpf/*.rs' | grep -v '/tests\.rs$' | while read -r file; do
    [[ $(first_line "$file") == '//!'* ]] || echo "$file"
done | refuse 'a module opens with its line'
git ls-files "$package/*.py" | while read -r file; do
    [[ $(first_line "$file") == '"""'* ]] || echo "$file"
done | refuse 'a module opens with its line'
git ls-files '*.rs' '*.py' | grep -vE '(^|/)tests(/|\.rs$)' | xargs wc -l | awk '$1 > 400 && $2 != "total" {print $2, $1, "lines"}' | refuse 'too long'

for object in rust/bpf/objects/*.bpf.o; do
    name=$(basename "$object" .bpf.o)
    git ls-files -- ebpf/.cargo ebpf/Cargo.toml ebpf/Cargo.lock ebpf/common ebpf/lib "ebpf/$name" rebuild.sh "$object" |
        LC_ALL=C sort | xargs sha256sum | diff "${object%.o}.sha256" - 2>&1 |
        refuse 'kernel object out of step with its source (./rebuild.sh)'
done
exit $broken
