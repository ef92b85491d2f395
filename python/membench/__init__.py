"""Record what a live memcached does, replay it with the same timing, and explain it.

with membench.record("ebpf:any", "production.mb", duration_s=60) as capture:
    capture.wait()
profile = membench.open("production.mb")
membench.analyze(profile)
membench.replay(profile, "127.0.0.1:11211")

Every name is importable from here. `membench.errors` holds the exceptions, `membench.bpf` loads any
eBPF object, `membench.cli` and `membench.report` are the command line; everything else is private.
"""

from __future__ import annotations

import lazy_loader

# `__init__.pyi` lists the public names and the modules that hold them. Each is imported on first
# use, so that `--help` does not wait for the engine.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
