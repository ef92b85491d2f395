#!/bin/bash
# Prints each place in the tree that breaks a rule about form, one a line; exits with 1 if there is any.
# tests/unit/test_form.py plants a break of each rule and sees it found.
set -uo pipefail
# The last command of a pipeline runs in this shell, so that `refuse` can set `broken`.
shopt -s lastpipe
cd "$(dirname "$0")/.."

shared=ebpf/common package=python/membench
broken=0

# Usage: refuse RULE, with the places that break it on stdin.
refuse() {
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
# A file that is longer has more than one reason to change. One type's impl fits: it stands in one place.
git ls-files '*.rs' '*.py' | grep -vE '(^|/)tests(/|\.rs$)' | xargs wc -l |
    awk '$1 > 600 && $2 != "total" {print $2, $1, "lines"}' | refuse 'too long'

# Each item's comment is complete in itself and says its subject first.
git ls-files 'rust/*.rs' 'ebpf/*.rs' 'python/*.py' 'python/*.pyi' 'tests/*.py' 'benches/*.py' |
    xargs python3 tests/form_docs.py | refuse 'subject first'

# Modules of the crates but tests, one a line: crate, module, file.
modules() {
    git ls-files 'rust/*/src/*.rs' 'ebpf/*.rs' | grep '/src/' | grep -vE '/tests(/|\.rs$)' |
        sed -E 's|^((.*)/src/(.*/)?([^/]+)/mod\.rs)$|\2 \4 \1|; t; s|^((.*)/src/(.*/)?([^/]+)\.rs)$|\2 \4 \1|'
}

# Modules are named for the thing they hold.
participles='asking|beginning|closing|counting|ending|feeding|heading|keeping|lingering|listening|making|opening|reading'
participles+='|receiving|rotating|running|sampling|sending|starting|stopping|taking|talking|telling|waiting|watching|writing'
participles+='|yielding'
modules | awk -v participle="^($participles)\$" '$2 ~ participle {print $3}' | refuse 'a participle names no thing'
modules | awk '
    {files[$1 " " $2] = files[$1 " " $2] " " $3}
    END {for (name in files) if (name "s" in files) print files[name] " and" files[name "s"]}
' | sort | refuse 'names that differ by a plural only'

# Each committed object is built from the sources that are committed with it; rebuild.sh hashes the same list.
git ls-files 'rust/bpf/objects/*.bpf.o' | while read -r object; do
    name=$(basename "$object" .bpf.o)
    git ls-files -- ebpf/.cargo ebpf/Cargo.toml ebpf/Cargo.lock ebpf/common ebpf/lib "ebpf/$name" rebuild.sh "$object" |
        LC_ALL=C sort | xargs sha256sum | diff "${object%.o}.sha256" - 2>&1 |
        refuse 'kernel object out of step with its source (./rebuild.sh)'
done
[ -n "$(git ls-files 'rust/bpf/objects/*.bpf.o')" ] || echo 'rust/bpf/objects/*.bpf.o' | refuse 'missing'
exit $broken
