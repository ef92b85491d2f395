"""Exit codes: one table, which help, documentation and every command agree on."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from membench.cli.exits import TABLE
from support.cli import COMMAND, environment, membench
from support.ports import free_port
from support.server import memcached
from support.waiting import DEADLINE, until

pytestmark = pytest.mark.memcached

HERE = Path(__file__).parents[1]
SEALED = HERE / "data" / "sealed"
COMMANDS_DOC = HERE.parent / "docs" / "commands.md"


def nothing_wrong(_: Path) -> int:
    return membench("info", SEALED).code


def damaged_profile(folder: Path) -> int:
    damaged = Path(shutil.copytree(SEALED, folder / "damaged.mb"))
    (damaged / "manifest.json").write_text("{")
    return membench("info", damaged).code


def missing_profile(folder: Path) -> int:
    return membench("info", folder / "missing.mb").code


def answers_missing(_: Path) -> int:
    with memcached() as server:
        command = [*COMMAND, "replay", str(SEALED), server.address, "--allow-nonempty"]
        process = subprocess.Popen(
            [*command, "--pacing", "rate=10/s"], stdout=subprocess.DEVNULL, env=environment()
        )
        until(lambda: int(server.stats()["cmd_get"]) > 0, "the first request")
        server.freeze()
        return process.wait(DEADLINE)


def no_target(_: Path) -> int:
    return membench("replay", SEALED, f"127.0.0.1:{free_port()}").code


def failed_check(_: Path) -> int:
    with memcached() as server:
        return membench("replay", SEALED, server.address, "--check", "get.p99<1ns").code


def interrupted(_: Path) -> int:
    with memcached() as server:
        command = [*COMMAND, "replay", str(SEALED), server.address, "--allow-nonempty"]
        process = subprocess.Popen(
            [*command, "--pacing", "rate=2/s"], stdout=subprocess.DEVNULL, env=environment()
        )
        until(lambda: int(server.stats()["cmd_get"]) > 0, "the first request")
        process.send_signal(signal.SIGINT)
        return process.wait(DEADLINE)


CASES = {
    0: nothing_wrong,
    1: damaged_profile,
    2: missing_profile,
    4: answers_missing,
    5: no_target,
    99: failed_check,
    130: interrupted,
}


def test_every_row_of_the_table_has_a_case() -> None:
    assert CASES.keys() == TABLE.keys()


@pytest.mark.parametrize("code", CASES)
def test_a_command_ends_with_the_code_of_the_table(code: int, tmp_path: Path) -> None:
    assert CASES[code](tmp_path) == code


@pytest.mark.parametrize("command", [(), ("record",), ("replay",), ("info",)])
def test_help_prints_the_table(command: tuple[str, ...]) -> None:
    shown = " ".join(membench(*command, "--help").expect(0).stdout.split())
    for code, meaning in TABLE.items():
        assert f"{code} {meaning}" in shown


def test_the_documentation_has_the_same_table() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", COMMANDS_DOC.read_text(), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == TABLE


@pytest.mark.parametrize(
    "arguments",
    [
        ("record", "nofile.pcap"),
        ("record", "/etc"),
        ("record", "nodir/x.pcap", "x.mb"),
        ("analyze", "nofile.mb"),
        ("info", "/etc"),
        ("keygen", "nodir/k"),
        ("demo", "--seconds", "nan"),
        ("demo", "--seconds", "-1"),
        ("demo", "--keep", "nodir"),
        ("replay", str(SEALED), "127.0.0.1:1", "--seed", "-1"),
        ("replay", str(SEALED), "nowhere"),
    ],
    ids=" ".join,
)
def test_a_wrong_name_or_number_is_a_wrong_argument_in_words(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = membench(*arguments).expect(2)
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert "\nhint: " in ended.stderr
    for leak in (
        "os error",
        "internal error",
        "Traceback",
        "Value error",
        "Input should",
        "remove",
    ):
        assert leak not in ended.stderr


def test_commands_to_type_quote_names_for_a_shell(tmp_path: Path) -> None:
    said = membench("keygen", tmp_path / "a key").expect(0).stderr
    assert f"--key-file '{tmp_path}/a key'" in said


def test_options_are_listed_in_groups_at_the_width_of_the_terminal() -> None:
    shown = membench("record", "--help").expect(0).stdout
    groups = re.findall(r"^(\w[\w ,]*):$", shown, re.MULTILINE)
    assert groups[0] == "Arguments"
    assert {"Servers", "Extent", "Output"} <= set(groups)
    widths = [max(map(len, shown.splitlines()))]
    narrow = subprocess.run(
        [*COMMAND, "record", "--help"],
        env=environment() | {"COLUMNS": "70"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = narrow.stdout.split("Exit codes")[0].splitlines()
    widths.append(max(len(line) for line in lines if "Example: " not in line))
    assert widths[1] <= 70
    assert 80 < widths[0] <= 100


def test_a_shell_completes_commands_and_options() -> None:
    def completed(typed: str, word: int) -> set[str]:
        asked = {
            "_MEMBENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(word),
        }
        ended = subprocess.run(
            COMMAND, env=environment() | asked, capture_output=True, text=True, check=False
        )
        return set(ended.stdout.split())

    assert completed("membench re", 1) == {"record", "replay", "repair", "report"}
    assert {"--warm", "--check"} <= completed("membench replay --", 2)
