"""This machine → the facts on which loading depends, as `membench doctor` finds them."""

from __future__ import annotations

from dataclasses import dataclass

from membench import _native
from membench._doctor.diagnose import Probe, Trial
from membench._doctor.host import Identity, Machine, read_identity, read_machine
from membench._doctor.policy import KernelPolicy, read_policy
from membench._results import from_json


@dataclass(frozen=True, slots=True)
class Features:
    """Facts about this kernel and this process.

    Attributes:
        machine: The kernel's release, its types, its lockdown.
        identity: The capabilities that this process holds.
        policy: The kernel's rules for loading programs.
        trials: Hooks at which programs were loaded, attached and fired, each with the outcome:
            typed tracepoints of sockets, and traffic control on the loopback interface.
    """

    machine: Machine
    identity: Identity
    policy: KernelPolicy
    trials: tuple[Trial, ...]


def features() -> Features:
    """Find out what can be loaded and attached here, by doing it, and undo it."""
    sockets = from_json(Probe, _native.probe_ebpf())
    interface = from_json(Probe, _native.probe_interface())
    return Features(
        machine=read_machine(),
        identity=read_identity(),
        policy=read_policy(),
        trials=(*sockets.checks, *interface.checks),
    )
