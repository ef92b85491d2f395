"""`membench replay`: profile and target → the recorded traffic sent again, times and checks."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from membench._files import OutputFile, created
from membench.cli import groups, output
from membench.cli.checks import CheckOption
from membench.cli.exits import CHECK_FAILED, INTERRUPTED, SHORT, InterruptedCommandError
from membench.cli.output import Format, FormatOption
from membench.cli.paths import ProfileArgument
from membench.cli.units import parse_duration
from membench.errors import MembenchError, UsageError
from membench.report.plain import plain_result

if TYPE_CHECKING:
    from membench._replay import Progress, ReplayResult

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _parse_start(text: str) -> float:
    return 0.0 if text == "0" else parse_duration(text)


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} is not a time with its zone, such as `2026-11-30T12:00:00Z`"
        )
    return time


def command(  # noqa: PLR0917 - Typer makes options of arguments
    profile: ProfileArgument,
    target: Annotated[
        str | None,
        typer.Argument(help="`HOST:PORT` or `unix:PATH` of the memcached to write to."),
    ] = None,
    pacing: Annotated[
        str,
        typer.Option(
            help="`recorded`, `speed=2`, `rate=50000/s`, `poisson=50000/s`, "
            "`ramp=1000..50000/30s`; after answers: `closed`, `closed=no-think`, `max`.",
            rich_help_panel=groups.PACE,
        ),
    ] = "recorded",
    late: Annotated[
        str,
        typer.Option(
            help="`send` or `drop` requests that cannot leave at their time; `drop=5ms`.",
            rich_help_panel=groups.PACE,
        ),
    ] = "send",
    from_: Annotated[
        float,
        typer.Option(
            "--from",
            parser=_parse_start,
            metavar="TIME",
            show_default=False,
            help="Leave out what was recorded before `10s`, `5m`, … of the recording.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = "0",  # type: ignore[assignment]  # read by the parser
    until: Annotated[
        float | None,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Leave out what was recorded from then on.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = None,
    loop: Annotated[
        int,
        typer.Option(
            metavar="N", help="Replay it N times in a row.", rich_help_panel=groups.EXTENT
        ),
    ] = 1,
    fresh_keys: Annotated[
        bool,
        typer.Option(
            "--fresh-keys",
            help="Give each time of `--loop` keys of its own.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = False,
    scale: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Replay it with K copies of the clients at once, each with keys of its own.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = 1,
    shared_keys: Annotated[
        bool,
        typer.Option(
            "--shared-keys",
            help="Give the copies of `--scale` the same keys.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = False,
    warm: Annotated[
        bool,
        typer.Option(
            "--warm", help="First store the items that were there when recording started."
        ),
    ] = False,
    check: CheckOption = None,
    seed: Annotated[
        int,
        typer.Option(help="Seed of the values that are stored.", rich_help_panel=groups.CONTENT),
    ] = 1,
    key_prefix: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Begin every key with this, beside its recorded length.",
            rich_help_panel=groups.CONTENT,
        ),
    ] = "",
    value: Annotated[
        str,
        typer.Option(
            help="Bytes of values: `text`, `random`, `compressible=0.6`, `zero`.",
            rich_help_panel=groups.CONTENT,
        ),
    ] = "text",
    fill: Annotated[
        str,
        typer.Option(
            metavar="recorded|lookaside",
            help="Stores after misses: as recorded, or after each miss at the target.",
            rich_help_panel=groups.CONTENT,
        ),
    ] = "recorded",
    threads: Annotated[
        int, typer.Option(help="Sending threads, each with its share of the connections.")
    ] = 1,
    wait: Annotated[
        str,
        typer.Option(
            metavar="sleep|hybrid|spin",
            help="Until a request is due: sleep, sleep and then watch the clock, or watch it.",
            rich_help_panel=groups.PACE,
        ),
    ] = "hybrid",
    allow_nonempty: Annotated[
        bool, typer.Option("--allow-nonempty", help="Accept a target in use, and write to it.")
    ] = False,
    allow_admin: Annotated[
        bool, typer.Option("--allow-admin", help="Also send `flush_all` and `verbosity`.")
    ] = False,
    allow_sampled: Annotated[
        bool, typer.Option("--allow-sampled", help="Replay a sample: a fraction of the load.")
    ] = False,
    observe: Annotated[
        bool,
        typer.Option(
            "--observe",
            help="Also account for the target's requests, in the kernel of this machine.",
        ),
    ] = False,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="SERVER=TARGET",
            help="Target of one of several recorded servers, by its port; repeatable.",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="SERVER",
            help="Replay only this one of several recorded servers, by its port.",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    tls: Annotated[
        bool,
        typer.Option("--tls", help="Speak TLS with the target.", rich_help_panel=groups.TARGET),
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="Certificates that may sign the target's (PEM), instead of the system's.",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="Certificate to show to the target (PEM).",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="Key of `--tls-cert` (PEM).",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    tls_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name that the target's certificate must have, instead of its host.",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="ascii|sasl",
            help="Sign in on each connection, as `memcached -Y` or `-S` wants.",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    auth_file: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="File whose first line is `USER:PASSWORD`.",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    auth_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Environment variable that holds `USER:PASSWORD`.",
            rich_help_panel=groups.TARGET,
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            metavar="i/N",
            help="Replay share i of N, from 0/N on: one of N processes, for `merge-runs`.",
            rich_help_panel=groups.MACHINES,
        ),
    ] = "0/1",
    start_at: Annotated[
        datetime | None,
        typer.Option(
            parser=_parse_time,
            metavar="TIME",
            help="Start the schedule then: `2026-11-30T12:00:00Z`.",
            rich_help_panel=groups.MACHINES,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="FILE", help="Write the result as JSON, for `compare`."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="FILE", help="Write the progress of each second."),
    ] = None,
    hlog: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="FILE", help="Write HDR histograms of each second (.hlog)."
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="FILE", help="Write the checks as JUnit XML, for CI."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing output.")] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Send a profile's requests to a memcached, each when it is due.

    Open loop: a late answer delays nothing. Response time counts from the moment a request should
    have been sent; the delay until it was sent (lag) is measured and shown.

    \b
    Example: membench replay production.mb 127.0.0.1:11211 --warm --check 'get.p99<1ms'
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.basis import remark_on_replay

    targets = _targets(target, map_ or ())
    recording = membench.open(profile)
    if remark := remark_on_replay(recording.summary()):
        output.say(remark)
    with (
        _files((out, csv, hlog, junit), force) as files,
        stop_on_signals() as stop,
        _progress() as update,
    ):

        def tell(progress: Progress) -> None:
            update(progress)
            files.add(progress)

        result = membench.replay(
            recording,
            targets,
            server=server,
            pacing=pacing,
            late=late,
            from_s=from_,
            until_s=until,
            loop=loop,
            fresh_keys=fresh_keys,
            scale=scale,
            shared_keys=shared_keys,
            warm=warm,
            seed=seed,
            key_prefix=key_prefix,
            value=value,
            fill=fill,  # type: ignore[arg-type]  # `membench.replay` refuses other words
            wait=wait,  # type: ignore[arg-type]  # `membench.replay` refuses other words
            threads=threads,
            tls=tls,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_name=tls_name,
            auth=auth,  # type: ignore[arg-type]  # `membench.replay` refuses other words
            auth_file=auth_file,
            auth_env=auth_env,
            shard=shard,
            start_at=start_at,
            log_histograms=hlog is not None,
            checks=check or (),
            allow_nonempty=allow_nonempty,
            allow_admin=allow_admin,
            allow_sampled=allow_sampled,
            stop=stop,
            on_interval=tell,
            observe=observe,
        )
        # The report first: files can fail, and the load cannot be had again.
        show_result(result, format)
        files.finish(result)
    if result.stopped:
        return INTERRUPTED
    if not result.passed:
        return CHECK_FAILED
    return 0 if result.held else SHORT


def _targets(target: str | None, pairs: Sequence[str]) -> str | dict[str, str]:
    """Return the target, or that of each server.

    Raises:
        UsageError: There is none, there are both, or a pair is none.
    """
    if target is not None and pairs:
        raise UsageError(
            "`--map` gives each server its target, so there is no other",
            "leave out the target, or `--map`",
        )
    if target is not None:
        return target
    if not pairs:
        raise UsageError(
            "no target",
            "name it after the profile, as `HOST:PORT`, or give each server one: `--map`",
        )
    targets: dict[str, str] = {}
    for pair in pairs:
        # A path may hold the sign, a target hardly ever does.
        name, _, at = pair.rpartition("=")
        if not name or not at:
            raise UsageError(f"not a server and its target: `{pair}`", "`--map 11211=HOST:PORT`")
        if targets.setdefault(name, at) != at:
            raise UsageError(f"the server {name} has two targets", "give each server one")
    return targets


class _Files:
    """The files beside the report that were asked for. One that fails leaves the others alone."""

    def __init__(
        self,
        out: OutputFile | None,
        csv: OutputFile | None,
        hlog: OutputFile | None,
        junit: OutputFile | None,
    ) -> None:
        from membench.report.artifacts import HistogramLog, PerSecond

        self._out, self._junit = out, junit
        self._failed: MembenchError | None = None
        self._by_second: list[PerSecond | HistogramLog] = []
        if csv is not None:
            self._by_second.append(PerSecond(csv.write))
        if hlog is not None:
            self._by_second.append(HistogramLog(hlog.write))

    def add(self, progress: Progress) -> None:
        """Write what a second brought."""
        for one in tuple(self._by_second):
            if not self._is_done(lambda one=one: one.add(progress)):  # type: ignore[misc]
                self._by_second.remove(one)

    def finish(self, result: ReplayResult) -> None:
        """Write what the end brought.

        Raises:
            MembenchError: Some file could not be written.
        """
        from membench.report.artifacts import as_junit

        out, junit = self._out, self._junit
        if out is not None:
            self._is_done(lambda: out.write(output.as_json(result).encode() + b"\n"))
        if junit is not None:
            self._is_done(lambda: junit.write(as_junit(plain_result(result))))
        if self._failed is not None:
            raise self._failed

    def _is_done(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except MembenchError as error:
            self._failed = self._failed or error
            return False
        return True


@contextmanager
def _files(paths: Sequence[Path | None], force: bool) -> Iterator[_Files]:
    """Create the files before anything is sent."""
    places = [path.resolve() for path in paths if path is not None]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"{place} is named twice", "give each output a file of its own")
    with ExitStack() as stack:
        yield _Files(
            *(stack.enter_context(created(path, force)) if path else None for path in paths)
        )


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """Let the first Ctrl-C or SIGTERM end the replay with a report; a second ends the program."""
    event = Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        received = signal.Signals(number)
        signal.signal(received, previous[received])
        event.set()

    previous = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield event
    except MembenchError as error:
        if not event.is_set():
            raise
        raise InterruptedCommandError(str(error)) from error
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Show the replay's progress on stderr: a bar on a terminal, else its length, once."""
    from rich.progress import BarColumn, Progress as Bar, TaskProgressColumn, TextColumn

    from membench.report.replay import describe_progress, describe_schedule

    console = output.console(stderr=True)
    if not console.is_terminal:
        yield _once(lambda progress: output.say(describe_schedule(progress)))
        return
    columns = (
        TextColumn("replay"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def update(progress: Progress) -> None:
            text = describe_progress(progress)
            bar.update(task, total=progress.planned, completed=progress.sent, description=text)

        yield update


def _once(tell: Callable[[Progress], None]) -> Callable[[Progress], None]:
    told = False

    def first(progress: Progress) -> None:
        nonlocal told
        if not told and progress.sent < progress.planned:
            tell(progress)
        told = True

    return first


def show_result(result: ReplayResult, format: Format) -> None:  # noqa: A002
    """Show a result on standard output."""
    from membench.report.replay import render_replay

    if format is Format.JSON:
        output.show_json(result)
    else:
        output.show(render_replay(plain_result(result)))
