"""Parsers of `/proc` and of memcached's statistics."""

import pytest

from membench._doctor import host

LISTENING = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2BCB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0100007F:2BCB 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1
"""


def test_only_listening_sockets_of_the_port_are_found() -> None:
    assert host.parse_listeners(LISTENING, 11211) == [host.Listener("127.0.0.1", 4711)]
    assert host.parse_listeners(LISTENING, 80) == []


def test_a_socket_that_the_table_holds_twice_is_found_once() -> None:
    header, *rows = LISTENING.splitlines()
    twice = "\n".join([header, *rows, *rows])
    assert host.parse_listeners(twice, 11211) == [host.Listener("127.0.0.1", 4711)]


def test_a_wildcard_address_is_reached_on_loopback() -> None:
    assert host.parse_listeners(LISTENING, 22) == [host.Listener("127.0.0.1", 4713)]
    wildcard = LISTENING.replace("00000000:0016", f"{'0' * 32}:0016")
    assert host.parse_listeners(wildcard, 22) == [host.Listener("::1", 4713)]


@pytest.mark.parametrize(
    ("written", "address"),
    [("0700000A", "10.0.0.7"), ("B80D0120000000000000000001000000", "2001:db8::1")],
)
def test_addresses_are_read_in_the_machine_s_order(written: str, address: str) -> None:
    table = LISTENING.replace("00000000:0016", f"{written}:0016")
    assert host.parse_listeners(table, 22) == [host.Listener(address, 4713)]


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        ("0000000000000000", ()),
        ("000000c000000000", ("CAP_PERFMON", "CAP_BPF")),
        ("0000000000001000", ("CAP_NET_ADMIN",)),
    ],
)
def test_effective_capabilities_are_named(mask: str, names: tuple[str, ...]) -> None:
    status = f"CapPrm:\tffffffffffffffff\nCapEff:\t{mask}\n"
    assert host.parse_capabilities(status) == names


@pytest.mark.parametrize(
    ("text", "mode"), [("none [integrity] confidentiality\n", "integrity"), ("", "none")]
)
def test_the_lockdown_mode_is_the_one_in_brackets(text: str, mode: str) -> None:
    assert host.parse_lockdown(text) == mode


def test_statistics_are_read_by_name_and_other_lines_left_out() -> None:
    reply = "STAT version 1.6.18\r\nSTAT rusage_user 0.5\r\nnonsense\r\nEND\r\n"
    assert host.parse_statistics(reply) == {"version": "1.6.18", "rusage_user": "0.5"}
