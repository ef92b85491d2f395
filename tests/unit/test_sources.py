"""Sources of `record` as typed; the grammar itself is tested beside its parser."""

from pathlib import Path

import pytest

import membench
from membench import UsageError
from membench._sources import SourceKind, kind_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ebpf:any", SourceKind.SOCKETS),
        ("ebpf:lo", SourceKind.INTERFACE),
        ("pcap:any", SourceKind.LIBPCAP),
        ("pcap:lo", SourceKind.LIBPCAP),
        ("lo", SourceKind.LIBPCAP),
        ("dump.pcap", SourceKind.FILE),
        ("ebpf:x.pcapng", SourceKind.FILE),
        ("./ebpf:any", SourceKind.FILE),
        ("watch:10.0.0.7:11211", SourceKind.WATCH),
        ("-", SourceKind.LOG),
    ],
)
def test_each_form_of_source_is_understood(text: str, kind: SourceKind) -> None:
    assert kind_of(text) is kind


@pytest.mark.parametrize(
    "text", ["", "any", "ebpf", "ebpf:", "pcap:", "watch:host", "watch::1", "tcp:eth0", "nosuch0"]
)
def test_anything_else_is_a_usage_error_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        membench.record(text)
    assert caught.value.hint


def test_an_unknown_interface_is_named_beside_those_there_are() -> None:
    with pytest.raises(UsageError, match="no interface is called 'nosuch0'") as caught:
        kind_of("ebpf:nosuch0")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("this machine has ")
    assert "lo" in caught.value.hint


@pytest.mark.parametrize("beginning", [b"ts=5.6 gid=1 type=item_get", b"OK\r\nts=", b"skipped=4"])
def test_a_stored_log_is_known_by_how_it_begins(tmp_path: Path, beginning: bytes) -> None:
    log = tmp_path / "today"
    log.write_bytes(beginning)
    assert kind_of(str(log)) is SourceKind.LOG
