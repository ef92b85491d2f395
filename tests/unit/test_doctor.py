"""What doctor concludes from a try-out."""

import io
import sys

import pytest
from rich.console import Console

from membench.doctor import Check, Diagnosis, Probe, judge_packets, judge_sockets
from membench.host import Identity, Machine, Target
from membench.report.doctor import render_diagnosis

MACHINE = Machine("Linux", "6.12.107", "x86_64", 16, True, "none", "docker")
NOBODY = Identity(1000, ())
REFUSED = Probe(False, None, "CAP_BPF and CAP_PERFMON are missing", None)


def as_text(diagnosis: Diagnosis) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(render_diagnosis(diagnosis))
    return captured.get()


def test_without_capabilities_the_remedy_is_a_command_that_runs() -> None:
    verdict = judge_sockets(REFUSED, NOBODY)
    assert not verdict.works
    assert verdict.remedies[0] == (f"sudo {sys.executable} -m membench record ebpf:any PROFILE.mb")


def test_with_capabilities_the_remedy_is_the_engine_s() -> None:
    probe = Probe(False, None, "the kernel has no BTF", "a kernel with CONFIG_DEBUG_INFO_BTF")
    verdict = judge_sockets(probe, Identity(0, ("CAP_PERFMON", "CAP_BPF")))
    assert verdict.remedies == ("a kernel with CONFIG_DEBUG_INFO_BTF",)


def test_a_source_that_works_says_with_which_tier() -> None:
    verdict = judge_sockets(Probe(True, "T1", None, None), NOBODY)
    assert verdict.works
    assert verdict.why.startswith("T1")


@pytest.mark.parametrize("works", [True, False])
def test_the_report_shows_machine_you_target_and_each_source(works: bool) -> None:
    verdict = judge_sockets(Probe(works, "T1", None, None), NOBODY)
    target = Target(11211, 812, "1.6.18", 4, 312, 184_000.0)
    text = as_text(Diagnosis(MACHINE, NOBODY, (target,), (verdict,)))
    assert "machine   Linux 6.12.107 x86_64, 16 CPUs, BTF yes, lockdown none" in text
    assert "you       uid 1000, no capabilities that matter here" in text
    assert "target    memcached 1.6.18 pid 812 port 11211, 4 threads, 312 connections" in text
    assert f"ebpf:any   {'yes' if works else 'no '}" in text


def test_a_port_where_nothing_listens_is_said() -> None:
    text = as_text(Diagnosis(MACHINE, NOBODY, (), (judge_sockets(REFUSED, NOBODY),)))
    assert "nothing listens on that port" in text


def test_an_interface_that_opens_says_with_what() -> None:
    probe = Probe(
        True, None, None, None, (Check("open and filter", True, "libpcap version 1.10.3"),)
    )
    verdict = judge_packets("any", probe, Identity(uid=0, capabilities=("CAP_NET_RAW",)))
    assert (verdict.source, verdict.works) == ("pcap:any", True)
    assert verdict.why == "opened: libpcap version 1.10.3"


def test_an_interface_that_does_not_open_comes_with_what_would_change_that() -> None:
    probe = Probe(False, None, "pcap:eth0: packets may not be captured: …", "run as root", ())
    verdict = judge_packets("eth0", probe, Identity(uid=1000, capabilities=()))
    assert not verdict.works
    assert verdict.remedies[0] == "run as root"
    assert verdict.remedies[1].endswith("-m membench record pcap:eth0 PROFILE.mb")
