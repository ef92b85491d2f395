"""Analysis of a trace, against libCacheSim's caches and a plain count."""

import json
import random
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest

# It needs libglib, without which its import fails otherwise than that of a missing module.
libcachesim = pytest.importorskip("libcachesim", exc_type=ImportError)

ROOT = Path(__file__).parents[2]
REQUESTS, KEYS = 200_000, 30_000
MEGABYTE = 1 << 20
#: Deadline of the example program, which may have to be built first, s.
BUILT_S = 800


@pytest.fixture(scope="module")
def reads() -> list[tuple[int, int]]:
    """Return reads as (key, size): about Zipf 1, one size a key."""
    chance = random.Random(1)
    keys = (int(KEYS ** chance.random()) for _ in range(REQUESTS))
    return [(key, 200 + key * 37 % 4000) for key in keys]


@pytest.fixture(scope="module")
def analysis(reads: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory) -> dict:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    trace = tmp_path_factory.mktemp("trace") / "reads.oracleGeneral.bin"
    records = (
        struct.pack("<IQIq", at // 1000, key, size, -1) for at, (key, size) in enumerate(reads)
    )
    trace.write_bytes(b"".join(records))
    found = subprocess.run([built(cargo), str(trace)], check=True, capture_output=True)
    return json.loads(found.stdout)


def built(cargo: str) -> str:
    """Build the example program with the whole workspace's features, as `cargo test` does."""
    build = ["build", "--workspace", "--example", "oracle_general", "--message-format", "json"]
    told = subprocess.run(
        [cargo, *build, "--quiet"], cwd=ROOT, check=True, capture_output=True, timeout=BUILT_S
    )
    artifacts = map(json.loads, told.stdout.splitlines())
    return next(it["executable"] for it in artifacts if it.get("executable"))


@pytest.mark.parametrize("megabytes", [1, 2, 4, 8, 16])
def test_the_lru_curve_is_libcachesims_within_1e_4(
    megabytes: int, reads: list[tuple[int, int]], analysis: dict
) -> None:
    cache = libcachesim.LRU(megabytes * MEGABYTE)
    hits = 0
    for key, size in reads:
        request = libcachesim.Request()
        request.obj_id, request.obj_size = key, size
        hits += cache.get(request)
    point = next(it for it in analysis["memory"]["sizes"] if it["bytes"] == megabytes * MEGABYTE)
    assert point["hit_ratio"] == pytest.approx(hits / REQUESTS, abs=1e-4)


def test_popularity_is_a_plain_count(reads: list[tuple[int, int]], analysis: dict) -> None:
    counts = Counter(key for key, _ in reads)
    found = analysis["keys"]
    assert found["distinct"] == len(counts)
    assert found["used_once"] == sum(1 for uses in counts.values() if uses == 1) / len(counts)
    top = [uses for _, uses in counts.most_common(10)]
    assert [key["uses"] for key in found["hottest"][:10]] == top
