"""Certificates and keys of a test's own, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Name of the server in its certificate, beside 127.0.0.1.
SERVER_NAME = "cache.test"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files of PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others."""

    folder: Path
    own: Pair

    @classmethod
    def create(cls, folder: Path, name: str) -> Authority:
        """Make a key and a certificate that it signs itself."""
        own = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "7", "-subj", f"/CN={name}"),
            *("-keyout", own.key, "-out", own.certificate),
        )
        return cls(folder, own)

    def sign(self, name: str, *, alternatives: str, days: int = 7) -> Pair:
        """Make a pair whose certificate has these alternative names."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n")
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", pair.key, "-out", request),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-days", str(days), "-extfile", extensions),
            *("-CA", self.own.certificate, "-CAkey", self.own.key, "-CAcreateserial"),
            *("-out", pair.certificate),
        )
        return pair


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(
        [shutil.which("openssl") or "openssl", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
