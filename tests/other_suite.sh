# Sourced. `use_suite SUITE FOLDER` sets `apt` to the options of an apt-get that sees only SUITE, with its sources, in the
# archive that this machine's release comes from, and nothing as installed. It keeps its state in FOLDER. Calls `refuse` with
# the reason if that fails.

use_suite() {
    local suite=$1 work=$2 release
    mkdir -p "$work"/{parts,lists/partial,cache/archives/partial}
    shopt -s nullglob
    local sources=(/dev/null /etc/apt/sources.list.d/*.sources) lists=(/dev/null /etc/apt/sources.list.d/*.list)
    [ ! -f /etc/apt/sources.list ] || lists+=(/etc/apt/sources.list)

    # The entry of this release in the machine's source lists, with the suite replaced.
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$release" ] || refuse "/etc/os-release names no release"
    {
        awk -v release="$release" -v suite="$suite" '
            BEGIN { RS = ""; FS = "\n" }
            {
                uri = key = ""; found = 0
                for (line = 1; line <= NF; line++) {
                    split($line, word, " ")
                    if (word[1] == "URIs:") uri = word[2]
                    if (word[1] == "Signed-By:") key = word[2]
                    if (word[1] == "Suites:") for (n = 2; n in word; n++) if (word[n] == release) found = 1
                }
                if (found) print "deb" (key == "" ? "" : " [signed-by=" key "]"), uri, suite, "main"
            }' "${sources[@]}"
        awk -v release="$release" -v suite="$suite" '
            $1 == "deb" && match($0, "[ /]" release " ") { sub(" " release " .*", " " suite " main"); print }' "${lists[@]}"
    } >"$work/all"
    head -n 1 "$work/all" | sed 'p; s/^deb /deb-src /' >"$work/parts/other.list"
    : >"$work/status"
    [ -s "$work/parts/other.list" ] || refuse "no package source of $release on this machine"

    apt=(-o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/parts" -o "Dir::State::Lists=$work/lists"
        -o "Dir::State::status=$work/status"
        -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=" -o "Acquire::Languages=none"
        -o "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false" -o "Acquire::http::Timeout=30")
    apt-get "${apt[@]}" -qq update >&2 || refuse "its package list cannot be had"
}
