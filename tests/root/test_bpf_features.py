"""Facts about the machine are those that doctor finds, and the trials leave nothing behind."""

from __future__ import annotations

import os

import pytest

import membench
from membench import bpf
from support.cli import membench as run

pytestmark = [pytest.mark.root]


def test_the_features_are_those_that_doctor_finds() -> None:
    found = bpf.features()
    diagnosis = membench.doctor()
    assert found.machine == diagnosis.machine
    assert found.machine.kernel == os.uname().release
    assert found.identity == diagnosis.identity
    assert found.policy == diagnosis.policy
    checks = {check.name: check.works for source in diagnosis.sources for check in source.checks}
    assert found.trials
    for trial in found.trials:
        assert checks[trial.name] == trial.works, trial
    assert "ebpf" in run("doctor").stdout
