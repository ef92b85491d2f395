#!/bin/bash
# The tree → every break of a rule about its form, one a line; exit 1 if there is any.
set -uo pipefail
# The last command of a pipeline runs in this shell, so that `refuse` can set `broken`.
shopt -s lastpipe
cd "$(dirname "$0")/.."

shared=ebpf/common package=python/membench
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

git grep -l pyo3 -- 'rust/*.rs' 'rust/*/Cargo.toml' | grep -v '^rust/python/' | refuse 'Python only in bindings'
git grep -nw unsafe -- 'rust/*/src/*.rs' "$shared/src" | grep -Ev '^rust/[a-z]+/src/sys(\.rs:|/)' | refuse 'unsafe only in sys.rs'
sources=(rust ebpf python tests)
{
    grep -rnwE 'TODO|FIXME|XXX|HACK' "${sources[@]}" --include='*.rs' --include='*.py'
    grep -rniE 'for now|placeholder' "${sources[@]}" --include='*.rs' --include='*.py'
} | refuse 'unfinished'
grep -rnE '\bprint\(|sys\.exit' $package --include='*.py' | grep -Ev '/cli/|__main__' | refuse 'the library does not talk'
grep -rnE '^ *(from|import) typer' $package --include='*.py' | grep -v /cli/ | refuse 'Typer at the door only'
grep -rnE '^ *(from|import) rich' $package --include='*.py' | grep -Ev '/(cli|report)/' | refuse 'Rich in reports only'
# A type that crosses the ring is defined in the shared crate and read with zerocopy. sys declares the structures of
# C libraries, which are neither.
git grep -lE 'repr\(([^)]*[ ,])?C\b' -- 'rust/*/src/*.rs' | grep -Ev '^rust/[a-z]+/src/sys(\.rs$|/)' |
    refuse 'one definition of shared types'
git grep -lE 'zerocopy|FromBytes|IntoBytes' -- 'rust/*/src/sys.rs' 'rust/*/src/sys/*.rs' |
    refuse 'types of the ring only in the shared crate'
git ls-files 'rust/*/src/*.rs' 'ebpf/*.rs' | grep -v '/tests\.rs$' | while read -r file; do
    [[ $(first_line "$file") == '//!'* ]] || echo "$file"
done | refuse 'a module opens with its line'
git ls-files "$package/*.py" | while read -r file; do
    [[ $(first_line "$file") == '"""'* ]] || echo "$file"
done | refuse 'a module opens with its line'
git ls-files '*.rs' '*.py' | grep -vE '(^|/)tests(/|\.rs$)' | xargs wc -l | awk '$1 > 600 && $2 != "total" {print $2, $1, "lines"}' | refuse 'too long'

if [ -f rust/bpf/membench.bpf.sha256 ]; then
    git ls-files -- ebpf rebuild.sh 'rust/bpf/*.o' | LC_ALL=C sort | xargs sha256sum |
        diff rust/bpf/membench.bpf.sha256 - | refuse 'kernel object out of step with its source (./rebuild.sh)'
else
    echo rust/bpf/membench.bpf.sha256 | refuse 'missing'
fi
exit $broken
