"""Intervals of an observation → figures that Prometheus fetches."""

from __future__ import annotations

import io
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from socketserver import ThreadingMixIn
from typing import IO, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from membench._observe.observe import ObserveInterval
from membench._observe.results import ObservedServer
from membench._running import Running
from membench.errors import UsageError

# Longest wait for the next bytes of a client, s.
_PATIENCE_S = 2.0
# Longest time of a whole request, s, and the most of them at a time.
_LONGEST_S = 10.0
_MOST_CLIENTS = 16
_LAST_PORT = 0xFFFF
# Fields of `misses` that do not count requests which are missing from the account.
_NO_REQUESTS = frozenset({"runs", "unanswered", "continued", "untold_switches"})
_QUANTILES = {"0.5": "p50_ns", "0.9": "p90_ns", "0.99": "p99_ns", "0.999": "p999_ns"}
# Figures that only grow: names without `_total`, their labels and their meaning.
COUNTERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "membench_observed_seconds": ((), "Time that was observed."),
    "membench_requests": ((), "Requests that were answered."),
    "membench_request_seconds": (("part",), "Time of these requests, by its parts."),
    "membench_requests_left_out": (("reason",), "Requests that are not among these, by reason."),
    "membench_own_skipped_runs": ((), "Runs of the kernel's programs that it left out."),
    "membench_slow_requests": ((), "Requests that took as long as was asked for."),
    "membench_wait_seconds": (("behind",), "Time that workers waited for a CPU, by who had it."),
    "membench_server_counter": (("port", "counter"), "Growth of the server's own counters."),
    "membench_thread_cpu_seconds": (("port", "role"), "Time that the server's threads ran."),
    "membench_thread_wait_seconds": (("port", "role"), "Time that they waited for a CPU."),
    "membench_throttled_seconds": ((), "Time for which the servers' CPU quota throttled them."),
    "membench_command_requests": (("command",), "Requests by class of command."),
    "membench_command_seconds": (("command",), "Time of these requests."),
    "membench_tcp_events": (("event",), "Segments retransmitted and resets at the servers' ports."),
    "membench_tcp_counter": (("counter",), "Growth of the kernel's counters of TCP."),
}
# Figures of the last interval.
GAUGES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "membench_request_quantile_seconds": (("part", "quantile"), "Quantiles of a request's time."),
    "membench_verdict_share": (("rule",), "Share of the requests' time that a cause explains."),
    "membench_steal_ratio": ((), "Share of the CPUs' time that the hypervisor gave to others."),
    "membench_pressure_ratio": (("resource",), "Share of the time in which a task waited for it."),
    "membench_tcp_connections": (("port",), "Connections at the end of the interval."),
    "membench_tcp_accept_queue": (("port",), "Connections that wait to be accepted."),
    "membench_tier": ((), "What is observed: 0, 1 or 2."),
    "membench_own_cpu_ratio": ((), "CPU that the kernel's programs took, as a share of one."),
    "membench_own_request_seconds": ((), "Time that these programs took for each request."),
}


class Metrics(Running):
    """Figures of all intervals so far, served from a `with` block on.

    Labels are bounded: parts, rules, roles, names of counters, and the ports that are followed.
    """

    def __init__(self, listen: str) -> None:
        """Bind to an address, `HOST:PORT`.

        Raises:
            UsageError: It is no address, or it cannot be bound to.
        """
        self._sums: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        self._last: dict[str, dict[tuple[str, ...], float]] = {}
        self._lock = threading.Lock()
        registry = CollectorRegistry()
        registry.register(self)
        self._server = _bound(listen)
        self._server.set_app(make_wsgi_app(registry))
        self._thread: threading.Thread | None = None

    def _end(self) -> None:
        """Stop serving."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def serve(self) -> str:
        """Serve from now on, with the privileges of this moment; return the address."""
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        host, port = self._server.server_address[:2]
        name = host if isinstance(host, str) else bytes(host).decode()
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def add(self, interval: ObserveInterval) -> None:
        """Add an interval."""
        with self._lock:
            for name, labels, amount in _amounts(interval):
                sums = self._sums[name]
                sums[labels] = sums.get(labels, 0.0) + amount
            last: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
            for name, labels, value in _values(interval):
                last[name][labels] = value
            self._last = last

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield each figure, as `prometheus-client` asks for it."""
        with self._lock:
            sums = {name: dict(samples) for name, samples in self._sums.items()}
            last = dict(self._last)
        for name, (labels, text) in COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=labels)
            for values, amount in sums.get(name, {}).items():
                counter.add_metric(values, amount)
            yield counter
        for name, (labels, text) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=labels)
            for values, amount in last.get(name, {}).items():
                gauge.add_metric(values, amount)
            yield gauge


Figure = tuple[str, tuple[str, ...], float]


def _amounts(interval: ObserveInterval) -> Iterator[Figure]:
    """Yield what an interval adds to the counters."""
    yield "membench_observed_seconds", (), interval.interval_s
    yield from _request_amounts(interval)
    yield from _tcp_amounts(interval)
    for server in interval.servers:
        yield from _server_amounts(server)
    if interval.host.throttled_ns is not None:
        yield "membench_throttled_seconds", (), interval.host.throttled_ns / 1e9


def _request_amounts(interval: ObserveInterval) -> Iterator[Figure]:
    account = interval.account
    if account is not None:
        yield "membench_requests", (), account.requests
        for part, time_ns in account.parts_ns.items():
            yield "membench_request_seconds", (part,), time_ns / 1e9
    yield from _command_amounts(interval)
    if interval.misses is not None:
        for reason, amount in asdict(interval.misses).items():
            if reason not in _NO_REQUESTS:
                yield "membench_requests_left_out", (reason,), amount
        yield "membench_own_skipped_runs", (), interval.misses.runs
    if interval.slow_requests is not None:
        yield "membench_slow_requests", (), interval.slow_requests
    for behind, time_ns in _waits(interval).items():
        yield "membench_wait_seconds", (behind,), time_ns / 1e9


def _command_amounts(interval: ObserveInterval) -> Iterator[Figure]:
    for one in interval.commands or ():
        yield "membench_command_requests", (one.command,), one.account.requests
        yield "membench_command_seconds", (one.command,), one.account.whole_ns / 1e9


def _tcp_amounts(interval: ObserveInterval) -> Iterator[Figure]:
    for counter, growth in interval.host.tcp.items():
        yield "membench_tcp_counter", (counter,), growth
    if interval.tcp_events is not None:
        for event, amount in asdict(interval.tcp_events).items():
            yield "membench_tcp_events", (event,), amount


def _server_amounts(server: ObservedServer) -> Iterator[Figure]:
    port = str(server.port)
    for counter, growth in server.counters.items():
        yield "membench_server_counter", (port, counter), growth
    for thread in server.threads:
        yield "membench_thread_cpu_seconds", (port, thread.role), thread.cpu_ns / 1e9
        yield "membench_thread_wait_seconds", (port, thread.role), thread.waited_ns / 1e9


def _waits(interval: ObserveInterval) -> dict[str, int]:
    """Return the time that workers waited for a CPU, by who had it, ns."""
    if interval.account is None:
        return {}
    servers = {worker.process for worker in interval.workers}
    servers |= {server.process for server in interval.servers if server.process is not None}
    waits = dict.fromkeys(("idle", "memcached", "neighbours"), 0)
    for culprit in interval.culprits:
        behind = "memcached" if culprit.process in servers else "neighbours"
        waits["idle" if culprit.process == 0 else behind] += culprit.time_ns
    waits["brief"] = interval.waited_briefly_ns or 0
    waits["unknown"] = interval.waited_for_unknown_ns or 0
    return waits


def _values(interval: ObserveInterval) -> Iterator[Figure]:
    """Yield an interval's own figures."""
    quantiles = interval.account.quantiles if interval.account is not None else {}
    for part, times in quantiles.items():
        for quantile, name in _QUANTILES.items():
            value: int = getattr(times, name)
            yield "membench_request_quantile_seconds", (part, quantile), value / 1e9
    for verdict in interval.verdicts:
        if "share" in verdict.evidence:
            yield "membench_verdict_share", (verdict.rule,), verdict.evidence["share"]
    yield "membench_steal_ratio", (), interval.host.steal
    for resource, share in interval.host.pressure.items():
        yield "membench_pressure_ratio", (resource,), share
    yield from _tcp_values(interval)
    yield "membench_tier", (), interval.tier
    if interval.cpu_share is not None:
        yield "membench_own_cpu_ratio", (), interval.cpu_share
    if interval.cost_ns_per_request is not None:
        yield "membench_own_request_seconds", (), interval.cost_ns_per_request / 1e9


def _tcp_values(interval: ObserveInterval) -> Iterator[Figure]:
    for server in interval.servers:
        if server.tcp is not None:
            yield "membench_tcp_connections", (str(server.port),), server.tcp.connections
            yield "membench_tcp_accept_queue", (str(server.port),), server.tcp.accept_queue


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - those of the base
        """Bind; serve a bounded number of clients at a time."""
        self._places = threading.BoundedSemaphore(_MOST_CLIENTS)
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a client on a thread of its own; close the connection if there are too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread can be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a client, and end it if it takes too long: a byte now and then is no request."""
        timer = threading.Timer(_LONGEST_S, _shut, (request,))
        timer.daemon = True
        try:
            timer.start()
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Tell nobody of clients that go away."""

    def server_bind(self) -> None:
        """Bind, without asking the resolver for this machine's name."""
        super(WSGIServer, self).server_bind()
        self.server_name, self.server_port = "membench", self.server_address[1]
        self.setup_environ()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE_S

    def get_stderr(self) -> IO[str]:
        """Return what takes a traceback: a client's fault is not told."""
        return io.StringIO()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name
        """Tell nobody of requests."""


def _bound(listen: str) -> _Server:
    """Bind to an address, `HOST:PORT`."""
    host, separator, port = listen.rpartition(":")
    is_number = port.isascii() and port.isdigit() and len(port) <= len(str(_LAST_PORT))
    if not separator or not host or not is_number or int(port) > _LAST_PORT:
        raise UsageError(f"{listen!r} is not an address", "an address and a port: `127.0.0.1:9150`")
    host = host.removeprefix("[").removesuffix("]")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        kind = type("_Server", (_Server,), {"address_family": family})
        server: _Server = kind(address, _Handler)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"{listen}: cannot listen there: {getattr(error, 'strerror', None) or error}",
            "name another port, or an address of this machine",
        ) from error
    return server
