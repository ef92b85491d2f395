"""Verdicts and reports of `doctor`, from given probes."""

import io
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from membench import UsageError
from membench._doctor.diagnose import (
    Diagnosis,
    Probe,
    Trial,
    judge_interface,
    judge_log,
    judge_packets,
    judge_sockets,
)
from membench._doctor.forecast import IDLE_RATE, PUBLISHED, OperationCost, forecast
from membench._doctor.host import Identity, Machine, Server
from membench._doctor.policy import parse_seccomp, read_policy
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


def test_a_source_that_works_says_with_which_hooks() -> None:
    verdict = judge_sockets(Probe(True, "sockets", None, None), NOBODY)
    assert verdict.works
    assert verdict.why.startswith("sockets")


@pytest.mark.parametrize("works", [True, False])
def test_the_report_shows_machine_you_server_and_each_source(works: bool) -> None:
    verdict = judge_sockets(Probe(works, "sockets", None, None), NOBODY)
    server = Server(11211, 812, "1.6.18", 4, 312, 184_000.0)
    text = as_text(Diagnosis(MACHINE, NOBODY, (server,), (verdict,)))
    assert "machine   Linux 6.12.107 x86_64, 16 CPUs, BTF yes, lockdown none" in text
    assert "you       uid 1000, no capabilities for recording" in text
    assert "server    memcached 1.6.18 pid 812 port 11211, 4 threads, 312 connections" in text
    assert f"ebpf:any   {'yes' if works else 'no '}" in text


def test_a_port_without_a_listener_is_reported() -> None:
    text = as_text(Diagnosis(MACHINE, NOBODY, (), (judge_sockets(REFUSED, NOBODY),)))
    assert "nothing listens on the ports asked for, and no memcached runs here" in text
    found = "port 27311 (pid 812)"
    elsewhere = Diagnosis(MACHINE, NOBODY, (), (), elsewhere=found)
    shown = " ".join(as_text(elsewhere).split())
    assert f"memcached runs here on {found}: `--port` names it" in shown


def test_a_user_namespace_explains_why_nothing_works() -> None:
    rootless = Identity(0, ("CAP_BPF", "CAP_PERFMON", "CAP_NET_RAW"), user_namespace=True)
    for verdict in (
        judge_sockets(REFUSED, rootless),
        judge_interface(REFUSED, rootless),
        judge_packets("any", REFUSED, rootless),
    ):
        assert verdict.why.startswith("this is a user namespace, as in a rootless container")
        assert any("on the host" in remedy for remedy in verdict.remedies)
        assert not any("run as root" in remedy for remedy in verdict.remedies)
    text = as_text(Diagnosis(MACHINE, rootless, (), ()))
    assert "uid 0, in a user namespace (a rootless container?)" in text


def test_an_interface_that_opens_says_with_what() -> None:
    probe = Probe(
        True, None, None, None, (Trial("open and filter", True, "libpcap version 1.10.3"),)
    )
    verdict = judge_packets("any", probe, Identity(uid=0, capabilities=("CAP_NET_RAW",)))
    assert (verdict.source, verdict.works) == ("pcap:any", True)
    assert verdict.why == "opened: libpcap version 1.10.3"


def test_an_interface_that_does_not_open_has_a_remedy() -> None:
    probe = Probe(False, None, "pcap:eth0: packets may not be captured: …", "run as root", ())
    verdict = judge_packets("eth0", probe, Identity(uid=1000, capabilities=()))
    assert not verdict.works
    assert verdict.missing == ("CAP_NET_RAW",)
    assert verdict.remedies[0].endswith("-m membench record pcap:eth0 PROFILE.mb")


def test_missing_capabilities_have_remedies_for_sudo_systemd_docker_and_kubernetes() -> None:
    verdict = judge_sockets(REFUSED, Identity(1000, ("CAP_BPF",)))
    assert (verdict.needs, verdict.missing) == (("CAP_BPF", "CAP_PERFMON"), ("CAP_PERFMON",))
    words = ("sudo ", "AmbientCapabilities=CAP_PERFMON", "--cap-add PERFMON", "add: [PERFMON]")
    for remedy, word in zip(verdict.remedies, words, strict=True):
        assert word in remedy


def test_each_figure_of_a_forecast_stands_on_the_page_that_it_names() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    for cost in PUBLISHED:
        assert cost.measured.startswith("docs/performance.md, ")
        for figure in (f"{cost.recorder_ns:,}", f"{cost.server_ns:,}", f"{cost.bytes}"):
            assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d]|[.,]\d)", page), figure


COSTS = (OperationCost(500, 1000, 8, "one"), OperationCost(1000, 2000, 16, "other"))


def test_a_forecast_multiplies_the_server_s_own_rate() -> None:
    told = forecast(Server(11211, 1, "1.6", 4, 9, 200_000.0, cpus_used=0.8), COSTS)
    assert told is not None
    assert told.recorder_cpus == pytest.approx((0.1, 0.2))
    assert told.server_cpus == pytest.approx((0.2, 0.4))
    assert told.server_share == pytest.approx((0.25, 0.5))
    assert told.bytes_per_s == pytest.approx((1.6e6, 3.2e6))
    text = " ".join(as_text(Diagnosis(MACHINE, NOBODY, (), (), forecasts=(told,))).split())
    assert "not decoded: TLS, and `get` lines of more than 512 KiB (`record_limit`)" in text
    assert "at 200 k/s: ≈ 0.10 to 0.20 CPU here, 1.53 MiB to 3.05 MiB/s on disk" in text
    assert "+25.0 % to 50.0 %" in text


def test_a_requested_calibration_is_shown_or_the_reason_for_none() -> None:
    measured = OperationCost(610, 420, 7.1, "measured here")
    for found, words in (
        (measured, "calibrated an operation costs 610 ns CPU here, 7.1 B on disk, +420 ns"),
        (None, "calibrated no: `ebpf:any` does not work here"),
    ):
        diagnosis = Diagnosis(MACHINE, NOBODY, (), (), calibration=found, calibrates=True)
        assert words in " ".join(as_text(diagnosis).split())
    assert "calibrated" not in as_text(Diagnosis(MACHINE, NOBODY, (), ()))


def test_an_idle_server_is_forecast_at_a_round_rate_and_a_silent_one_not_at_all() -> None:
    idle = forecast(Server(11211, 1, "1.6", 4, 9, 0.0, cpus_used=0.0), COSTS)
    assert idle is not None
    assert (idle.idle, idle.operations_per_s) == (True, IDLE_RATE)
    assert "idle now" in as_text(Diagnosis(MACHINE, NOBODY, (), (), forecasts=(idle,)))
    assert forecast(Server(11211, 1, None, None, None, None), COSTS) is None


def test_everything_that_can_be_required_has_a_name() -> None:
    checks = (Trial("sock_recv_length", True), Trial("tcp_rcv_space_adjust", False))
    sockets = judge_sockets(Probe(True, "sockets", None, None, checks), NOBODY)
    diagnosis = Diagnosis(MACHINE, NOBODY, (), (sockets, judge_log(())), tools=())
    works = ("ebpf", "ebpf:any", "sock_recv_length", "build")
    assert [name for name in works if not diagnosis.works(name)] == []
    for name in ("watch", "tcp_rcv_space_adjust", "inet_sock_set_state"):
        assert not diagnosis.works(name)
    with pytest.raises(UsageError, match="nothing is called 'ebfp'"):
        diagnosis.works("ebfp")


@pytest.mark.parametrize("watchable", [True, False])
def test_a_log_can_be_watched_where_a_server_answers(watchable: bool) -> None:
    server = Server(11211, 812, "1.6.18", 4, 312, 1.0, watchable=watchable)
    assert judge_log((server,)).works is watchable


def test_policy_is_read_from_what_the_kernel_says(tmp_path: Path) -> None:
    for name, text in {
        "proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
        "proc/sys/kernel/perf_event_paranoid": "-1\n",
        "sys/kernel/security/lsm": "capability,apparmor",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    policy = read_policy(tmp_path)
    assert (policy.unprivileged_bpf, policy.perf_event_paranoid) == ("off", -1)
    assert policy.modules == ("capability", "apparmor")
    assert (policy.jit, policy.seccomp) == (None, None)
    assert parse_seccomp("Name:\tx\nSeccomp:\t2\n") == "filter"
