"""Parsing of the source argument of `record`."""

from pathlib import Path

import pytest

from membench import UsageError, sources
from membench.sources import Kind, Source

INTERFACES = frozenset({"eth0", "lo"})


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("ebpf:any", Source(Kind.SOCKETS, "any")),
        ("ebpf:eth0", Source(Kind.TRAFFIC_CONTROL, "eth0")),
        ("pcap:any", Source(Kind.LIBPCAP, "any")),
        ("pcap:lo", Source(Kind.LIBPCAP, "lo")),
        ("eth0", Source(Kind.LIBPCAP, "eth0")),
        ("dump.pcap", Source(Kind.FILE, "dump.pcap")),
        ("ebpf:x.pcapng", Source(Kind.FILE, "ebpf:x.pcapng")),
        ("./ebpf:any", Source(Kind.FILE, "./ebpf:any")),
        ("watch:10.0.0.7:11211", Source(Kind.WATCH, "10.0.0.7:11211")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_form_of_source_is_understood(text: str, source: Source) -> None:
    assert sources.parse(text, INTERFACES) == source


@pytest.mark.parametrize(
    "text", ["", "any", "ebpf", "ebpf:", "pcap:", "watch:host", "watch::1", "tcp:eth0", "eth1"]
)
def test_anything_else_is_a_usage_error_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        sources.parse(text, INTERFACES)
    assert caught.value.hint


def test_an_unknown_interface_is_named_beside_those_there_are() -> None:
    with pytest.raises(UsageError, match="no interface is called 'eth9'") as caught:
        sources.parse("ebpf:eth9", INTERFACES)
    assert caught.value.hint == "this machine has eth0, lo"


@pytest.mark.parametrize("beginning", [b"ts=5.6 gid=1 type=item_get", b"OK\r\nts=", b"skipped=4"])
def test_a_stored_log_is_known_by_how_it_begins(tmp_path: Path, beginning: bytes) -> None:
    log = tmp_path / "today"
    log.write_bytes(beginning)
    assert sources.parse(str(log), INTERFACES) == Source(Kind.LOG, str(log))
    assert sources.parse("-", INTERFACES).is_log
