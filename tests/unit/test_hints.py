"""Errors: the library's remedy is Python, the command line's is a command."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import membench
from membench import MembenchError, cli
from membench._hint import WORDS, Hint

DATA = Path(__file__).parent.parent / "data"
LOG = DATA / "watch" / "memcached-1.6.18.log"
PACKAGE = Path(membench.__file__).parent
FAILURE = PACKAGE.parents[1] / "rust" / "event" / "src" / "failure.rs"
NOBODY = "127.0.0.1:1"

# A flag or a command of membench; other programs' may be named to everybody.
FLAG = re.compile(r"`--|`membench [a-z]")
KEYWORD = re.compile(r"=True`|`membench\.")

Attempt = Callable[[Path], object]


def a_profile(folder: Path, name: str = "sealed", **header: object) -> Path:
    """A copy of a profile, with changes in its manifest."""
    path = Path(shutil.copytree(DATA / name, folder / "profile.mb", dirs_exist_ok=True))
    manifest = path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | header))
    return path


def an_empty_folder(folder: Path) -> Path:
    path = folder / "folder.mb"
    path.mkdir(exist_ok=True)
    return path


# Thresholds that no replay measures.
NO_CHECKS = (
    *("get.p99<1.2.3ms", "get.p99<.ms", "get.p99<1", "get.p99<1%", "errors<1ms", "errors.p99<1ms"),
    *("get.set.p99<1s", "foo.p99<1s", "service.foo.p99<1s", "foo.get.p99<1s", "get.p98<1s"),
    *("lag.get.set.p99<1s", ".p99<1s", "p99<1s", "get..p99<1s", "hits>1%"),
)


def _record(folder: Path, **options: Any) -> object:  # noqa: ANN401 - wrong ones
    return membench.record("ebpf:any", folder / "x.mb", **options)


def _replay(folder: Path, **options: Any) -> object:  # noqa: ANN401
    return membench.replay(a_profile(folder), NOBODY, **options)


def _make(kind: Callable[..., object], name: str, value: object, _folder: Path) -> object:
    return kind(**{name: value})


ATTEMPTS: dict[str, Attempt] = {
    "no profile": lambda folder: membench.open(folder / "missing.mb"),
    "not a profile": lambda folder: membench.open(an_empty_folder(folder)),
    "a newer profile": lambda folder: membench.open(a_profile(folder, schema_version=99)),
    "an unknown part": lambda folder: membench.analyze(a_profile(folder), only=["kyes"]),
    "a sample, checked": lambda folder: membench.replay(
        a_profile(folder, sample={"keys": 100, "connections": 1}), NOBODY, checks=["errors<1%"]
    ),
    "a sample, replayed": lambda folder: membench.replay(
        a_profile(folder, sample={"keys": 100, "connections": 1}), NOBODY
    ),
    "not a check": lambda folder: membench.replay(a_profile(folder), NOBODY, checks=["p99"]),
    "not a pacing": lambda folder: membench.replay(a_profile(folder), NOBODY, pacing="fast"),
    "not a target": lambda folder: membench.replay(a_profile(folder), "x"),
    "no target": lambda folder: membench.replay(a_profile(folder), NOBODY),
    "a key file exists": lambda folder: membench.keygen(a_profile(folder) / "manifest.json"),
    "nothing to diagnose": lambda _: membench.Diagnosis(
        membench.Machine("", "", "", 1, True, "none", None), membench.Identity(1, ()), (), ()
    ).works("ebfp"),
    "an output exists": lambda folder: membench.record(str(LOG), a_profile(folder)),
    "an output not replaced": lambda folder: membench.record(
        str(LOG), an_empty_folder(folder), force=True
    ),
    "a log without ports": lambda folder: membench.record(str(LOG), folder / "x.mb", ports=[1]),
    "no source": lambda folder: membench.record("epbf:any", folder / "x.mb"),
    "no interface": lambda folder: membench.record("pcap:nosuch0", folder / "x.mb"),
    "no file": lambda folder: membench.record("./missing.pcap", folder / "x.mb"),
    "no log": lambda folder: membench.record(f"watch:{NOBODY}", folder / "x.mb"),
    "no ring": lambda folder: membench.record("ebpf:any", folder / "x.mb", ring_size=5),
    **{
        f"recorded with {name}={value!r}": partial(_record, **{name: value})
        for name, value in (
            ("ring_size", 1 << 40),
            ("ring_size", "16M"),
            ("max_size", 0),
            ("max_size", 1 << 80),
            ("duration_s", -1),
            ("duration_s", float("nan")),
            ("duration_s", 1e18),
            ("responses", "some"),
            ("hooks", "kprobes"),
            ("sample", membench.Sample(keys=0)),
            ("sample", membench.Sample(connections=1 << 32)),
            ("ports", 11211),
            ("ports", "11211"),
            ("ports", [0]),
            ("ports", ["11211"]),
            ("ports", []),
        )
    },
    **{
        f"{kind.__name__}({name}={value!r})": partial(_make, kind, name, value)
        for kind, name, value in (
            (membench.Selection, "side", "clients"),
            (membench.Selection, "ports", 11211),
            (membench.Selection, "ports", [1 << 16]),
            (membench.Selection, "sockets", "/run/mc.sock"),
            (membench.Selection, "sockets", Path("/run/mc.sock")),
            (membench.Selection, "sockets", [7]),
            (membench.Selection, "pids", 7),
            (membench.Selection, "pids", [-1]),
            (membench.Selection, "pids", [1 << 31]),
            (membench.Selection, "cgroups", "/sys/fs/cgroup/x"),
            (membench.Selection, "network_namespaces", "blue"),
            (membench.Guards, "nice", 100),
            (membench.Guards, "nice", -21),
            (membench.Guards, "max_cpu", 0),
            (membench.Guards, "max_cpu", float("inf")),
            (membench.Guards, "max_cpu", float("nan")),
            (membench.Guards, "max_memory", -1),
            (membench.Guards, "max_written", 1 << 63),
            (membench.Guards, "min_free", 0.5),
            (membench.Rotation, "size", 0),
            (membench.Rotation, "every_s", -1),
            (membench.Rotation, "every_s", float("inf")),
        )
    },
    **{
        f"replayed with {name}={value!r}": partial(_replay, **{name: value})
        for name, value in (
            ("seed", -1),
            ("seed", 1 << 64),
            ("seed", 0.5),
            ("threads", 0),
            ("threads", 1 << 80),
            ("pacing", "speed=nan"),
            ("checks", "get.p99<1ms"),
            *(("checks", [text]) for text in NO_CHECKS),
        )
    },
    "a text for parts": lambda folder: membench.analyze(a_profile(folder), only="keys"),
    "a key without a folder": lambda folder: membench.keygen(folder / "missing" / "a.key"),
    "a key in a file": lambda folder: membench.keygen(a_profile(folder) / "manifest.json" / "a"),
    "a demo without a folder": lambda folder: membench.demo(folder / "missing"),
    "a demo in a file": lambda folder: membench.demo(a_profile(folder) / "manifest.json"),
    "a demo of no time": lambda _: membench.demo(duration_s=0),
    "a demo of less": lambda _: membench.demo(duration_s=-5),
    "a demo of nothing": lambda _: membench.demo(duration_s=float("nan")),
    "a doctor of a text": lambda _: membench.doctor(ports="11211"),  # type: ignore[arg-type]
    "a doctor of no port": lambda _: membench.doctor(ports=[1 << 70]),
    "no interval": lambda _: membench.top("ebpf:any", interval_s=float("inf")),
    "too many keys": lambda _: membench.top("ebpf:any", keys=1 << 70),
    "no such hooks": lambda folder: membench.record(
        "ebpf:any",
        folder / "x.mb",
        hooks="tcx",
    ),
    "a selection given twice": lambda folder: membench.record(
        "ebpf:any", folder / "x.mb", ports=[1], selection=membench.Selection(ports=[2])
    ),
    "no rotation": lambda _: membench.Rotation(),
    "too many keys listed": lambda _: membench.top("ebpf:any", keys=1, limit=2),
    "pids of packets": lambda folder: membench.record(
        "pcap:any", folder / "x.mb", selection=membench.Selection(pids=[1])
    ),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_no_remedy_of_the_library_names_a_flag(attempt: Attempt, tmp_path: Path) -> None:
    with pytest.raises(MembenchError) as raised:
        attempt(tmp_path)
    error = raised.value
    assert error.hint or "available: " in str(error), error
    assert not FLAG.search(f"{error.hint} {error}"), f"{error}: {error.hint}"
    assert not KEYWORD.search(f"{error.command_hint}"), error.command_hint


def test_each_reader_gets_the_words_of_his_world(tmp_path: Path) -> None:
    with pytest.raises(membench.OutputExistsError) as raised:
        ATTEMPTS["an output exists"](tmp_path)
    assert raised.value.hint == "`force=True` replaces it"
    assert raised.value.command_hint == "`--force` replaces it"
    with pytest.raises(membench.UsageError) as missing:
        ATTEMPTS["no profile"](tmp_path)
    assert missing.value.hint == "`membench.record()` makes one"
    assert missing.value.command_hint == "`membench record` makes one"


def test_a_folder_to_open_and_one_to_replace_get_different_remedies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without a manifest may be anything: no hint says to remove it."""
    folder = an_empty_folder(tmp_path)
    assert cli.main(["info", str(folder)]) == 2
    opened = capsys.readouterr().err
    assert "hint: name the folder that a recording wrote" in opened
    assert cli.main(["record", str(LOG), str(folder), "--force"]) == 2
    replaced = capsys.readouterr().err
    assert "hint: choose another name for the output" in replaced
    assert "remove" not in opened + replaced
    assert folder.is_dir()


def settings(function: str) -> set[str]:
    """The words of the engine's hints for options: its flags or its keywords."""
    body = re.search(rf"fn {function}\(.*?\n    \}}", FAILURE.read_text(), re.DOTALL)
    assert body is not None
    return set(re.findall(r'=> "([A-Za-z_.-]+)"', body[0]))


def test_every_option_that_a_hint_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """In the engine's hints and in Python's."""
    for command in ("record", "replay", "observe", "compare"):
        assert cli.main([command, "--help"]) == 0
    helped = capsys.readouterr().out
    flags = settings("flag") | {shell for shell, _ in WORDS.values() if shell.startswith("--")}
    assert [flag for flag in flags if not re.search(rf"{flag}\b", helped)] == []
    groups = (membench.Selection, membench.Guards, membench.Sample)
    known = {
        f"{group.__name__}.{one.name}" for group in groups for one in dataclasses.fields(group)
    }
    for function in (membench.record, membench.replay, membench.observe, membench.compare):
        known |= set(inspect.signature(function).parameters)
    switches = {python.partition("=")[0] for _, python in WORDS.values() if "=" in python}
    assert (settings("keyword") | switches) - known == set()
    assert len(flags) > 10


def test_every_command_that_a_hint_names_is_a_function() -> None:
    for name, (shell, python) in WORDS.items():
        if not shell.startswith("--"):
            assert (shell, python) == (f"membench {name}", f"membench.{name}()")
            assert callable(getattr(membench, name))


def calls(kind: Callable[[str], bool]) -> Iterator[tuple[str, ast.Call]]:
    """Each call of a name in the library, with its place."""
    for file in PACKAGE.rglob("*.py"):
        if {"cli", "report"} & set(file.relative_to(PACKAGE).parts):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and kind(node.func.id)
            ):
                yield f"{file.name}:{node.lineno}", node


def texts(node: ast.Call) -> list[str]:
    found = (one for argument in node.args for one in ast.walk(argument))
    return [one.value for one in found if isinstance(one, ast.Constant) and _is_text(one)]


def _is_text(node: ast.Constant) -> bool:
    return isinstance(node.value, str)


def test_no_error_of_the_library_is_written_with_a_flag() -> None:
    raised = list(calls(lambda name: name.endswith("Error")))
    assert len(raised) > 10
    for place, call in raised:
        assert not [text for text in texts(call) if FLAG.search(text)], place


def test_every_hint_names_words_that_exist() -> None:
    made = list(calls(lambda name: name == "Hint"))
    assert made
    for place, call in made:
        for text in texts(call):
            hint = Hint(text)
            assert "{" not in hint.for_library() + hint.for_command_line(), place
