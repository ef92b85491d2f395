"""The command line: help, wrong arguments, exit codes."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from membench import (
    CaptureUnavailableError,
    Guards,
    MembenchError,
    OutputExistsError,
    ProfileError,
    TargetError,
    UsageError,
    cli,
)
from membench.cli import bounds
from membench.cli.units import (
    format_size,
    parse_duration,
    parse_fraction,
    parse_percent,
    parse_share,
    parse_size,
)

SEALED = str(Path(__file__).parent.parent / "data" / "sealed")
NOBODY = "127.0.0.1:1"
COMMANDS = ["record", "info", "analyze", "replay", "compare", "doctor", "demo", "repair", "keygen"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "--help"]) == 0
    printed = capsys.readouterr()
    assert "Example: " in printed.out
    assert f"membench {command}" in printed.out
    assert not printed.err


def test_without_arguments_it_shows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["recrod"], 2, "no such command 'recrod'"),
        (["record"], 2, "missing argument 'SOURCE... [PROFILE]'"),
        (["record", "ebpf:any", "--duration", "5x"], 2, "'5x' is not a duration"),
        (["record", "ebpf:any", "--ring-size", "4Q"], 2, "'4Q' is not a size"),
        (["record", "ebpf:any", "--ring-size", "5M"], 2, "must be a power of two"),
        (["record", "pcap:lo", "--ring-size", "512M"], 2, "but the largest has 1073741824"),
        (["record", "ebpf:any", "--responses", "some"], 2, "'some' is not one of"),
        (["record", "ebpf:any", "--port", "70000"], 2, "70000 is not a port"),
        (["record", "ebpf:any", "--sample", "0.1"], 2, "'0.1' is not a fraction"),
        (["record", "ebpf:any", "--max-cpu", "half"], 2, "'half' is not a share"),
        (["record", "tcp:eth0"], 2, "'tcp:eth0' is not a source"),
        (["record", "ebpf:nosuch0"], 2, "no interface is called 'nosuch0'"),
        (["record", "ebpf:lo", "--pid", "1"], 2, "this `pid` is for `ebpf:any` only"),
        (["record", "ebpf:lo", "--hooks", "sockets"], 2, "this `hooks` is for `ebpf:any` only"),
        (
            ["record", "ebpf:any", "--hooks", "tcx"],
            2,
            "the hooks `tcx` are for `ebpf:INTERFACE` only",
        ),
        (["record", "pcap:any", "--responses", "none"], 2, "`responses` is for `ebpf:any` only"),
        (["record", "pcap:any", "--pid", "1"], 2, "this `pid` is for `ebpf:any` only"),
        (["record", "./dump.pcap"], 2, "./dump.pcap: No such file"),
        (["record", "ebpf:any", "--pid", "-1"], 2, "'-1' is not the number of a process"),
        (["record", "ebpf:any", "--pid", "812,x"], 2, "'812,x' is not the number of a process"),
        (["observe", "--port", "1-2"], 2, "'1-2' is not a port, or several as"),
        (["observe", "--port", "any"], 2, "'any' is not a port, or several as"),
        (["trace", "--pid", "1", "--hooks", "functions"], 2, "at most 24 are"),
        (["record", "ebpf:any", "--pid", "9" * 20], 2, "is not a process id"),
        (["record", "ebpf:any", "--max-size", "9" * 20 + "G"], 2, "is not a size in bytes"),
        (["record", "ebpf:any", "--max-memory", "9" * 400], 2, "is not a size such as"),
        (["record", "ebpf:any", "--duration", "9" * 20], 2, "is not a duration in seconds"),
        (["record", "ebpf:any", "--max-cpu", "9" * 20], 2, "is not a number of CPUs"),
        (["record", "ebpf:any", "--allow-loss", "nan"], 2, "'nan' is not a percentage"),
        (["record", "ebpf:any", "--rotate", "9" * 20 + "h"], 2, "is not the time of a rotation"),
        (["record", "ebpf:any", "--hooks", "x"], 2, "'--hooks': 'x' is not one of 'sockets', "),
        (["top", "ebpf:any", "--interval", "9" * 20], 2, "is not an interval in seconds"),
        (["replay", SEALED, NOBODY, "--check", "get.p99<1.2.3ms"], 2, "not a check: "),
        (["replay", SEALED, NOBODY, "--check", "foo.p99<1s"], 2, "nothing is called `foo`"),
        (["replay", SEALED, NOBODY, "--seed", "-1"], 2, "-1 is not a seed"),
        (["replay", SEALED, NOBODY, "--seed", "9" * 23], 2, "is not a seed"),
        (["replay", SEALED, NOBODY, "--threads", "9" * 23], 2, "is not a number of threads"),
        (["keygen", "/nonexist/a"], 2, "/nonexist/a cannot be created: No such file"),
        (["demo", "--keep", "/nonexist"], 2, "/nonexist is not a folder that you may write to"),
        (["demo", "--seconds", "0"], 2, "0.0 is not the duration of a workload"),
        (["demo", "--seconds", "nan"], 2, "nan is not the duration of a workload"),
        (["doctor", "--port", "0"], 2, "0 is not a port"),
    ],
)
def test_a_wrong_argument_gets_one_error_a_hint_and_its_exit_code(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert "\n\nhint: " in printed.err


def test_an_unexpected_error_shows_its_place_and_not_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(failing_with(RuntimeError("user:12345:secret")), ["fail"]) == 1
    printed = capsys.readouterr()
    assert "internal error: RuntimeError at test_arguments.py:" in printed.err
    assert "secret" not in printed.err + printed.out


def test_an_interrupt_ends_with_130() -> None:
    assert cli.run(failing_with(KeyboardInterrupt()), ["fail"]) == 130


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MembenchError("broke", "mend it"), 1),
        (UsageError("broke", "mend it"), 2),
        (OutputExistsError("broke", "mend it"), 2),
        (ProfileError("broke", "mend it"), 1),
        (CaptureUnavailableError("broke", "mend it"), 5),
        (TargetError("broke", "mend it"), 5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_class_of_error_has_its_exit_code(
    error: MembenchError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(failing_with(error), ["fail"]) == code
    assert capsys.readouterr().err == "error: broke\n\nhint: mend it\n"


def failing_with(error: BaseException) -> typer.Typer:
    commands = typer.Typer()

    @commands.callback()
    def _several() -> None: ...

    @commands.command()
    def fail() -> None:
        raise error

    return commands


def test_keygen_writes_a_key_that_only_its_owner_reads_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.key"
    assert cli.main(["keygen", str(path)]) == 0
    key = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(key)) == 16
    assert key.strip() not in capsys.readouterr().err
    assert cli.main(["keygen", str(path)]) == 2
    assert path.read_text() == key


def test_a_key_that_the_disk_does_not_take_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    code = (
        "import resource, membench\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        f"try: membench.keygen({str(path)!r})\n"
        "except membench.CaptureUnavailableError as error: print(error.hint)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "free some space, or choose another disk\n"
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ns", 250e-9),
        ("500us", 500e-6),
        ("1.5µs", 1.5e-6),
        ("1.5\u03bcs", 1.5e-6),
        ("500ms", 0.5),
        ("60", 60),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "-1s", "5x", "s", "1e3"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("4M", 4 << 20), ("512k", 512 << 10), ("1GiB", 1 << 30)]
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "1.5", "4Q", "M"])
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_size(text)


@pytest.mark.parametrize(("text", "share"), [("50%", 0.5), ("0.5", 0.5), ("250 %", 2.5)])
def test_shares_are_of_one(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


def test_the_guards_of_the_command_line_are_written_once() -> None:
    limits = (parse_share(bounds.MAX_CPU), parse_size(bounds.MAX_MEMORY))
    chosen = bounds.guards(bounds.NICE, *limits, parse_size(bounds.MIN_FREE), None)
    assert chosen == Guards.of_command()


@pytest.mark.parametrize("size", [1, 1000, 1 << 10, 3 << 19, 10 << 30])
def test_a_size_is_written_as_it_is_read(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(("text", "percent"), [("0", 0), ("0.1", 0.1), ("2 %", 2), ("100%", 100)])
def test_percentages_are_of_a_hundred(text: str, percent: float) -> None:
    assert parse_percent(text) == pytest.approx(percent)


@pytest.mark.parametrize("text", ["", "-1", "101", "nan", "1e1", "half"])
def test_an_invalid_percentage_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_percent(text)


@pytest.mark.parametrize("text", ["", "0", "1/0", "2/100", "1/-3", "0.01", "1/1e9"])
def test_an_invalid_fraction_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_fraction(text)


def test_a_fraction_is_one_in_so_many() -> None:
    assert [parse_fraction(text) for text in ("1/1", "1/100")] == [1, 100]


def test_json_output_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    cli.output.show_json({"path": "[x]", "n": 1})
    assert json.loads(capsys.readouterr().out) == {
        "schema_version": 1,
        "path": "[x]",
        "n": 1,
    }
