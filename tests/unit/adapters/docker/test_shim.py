"""The shim that is in the repository is what its source says, and runs anywhere."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from adapters.docker import create

SHIM = Path(create.__file__).parent / "shim"
KINDS = ("wait", "wait-no-multicast")
MACHINES = {"x86_64": 62, "aarch64": 183}
PT_INTERP, PT_DYNAMIC = 3, 2


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_shim_needs_no_loader_and_no_library(machine: str, kind: str) -> None:
    data = (SHIM / f"{kind}-{machine}").read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01"
    assert struct.unpack_from("<H", data, 18)[0] == MACHINES[machine]
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    kinds = [struct.unpack_from("<I", data, offset + index * size)[0] for index in range(count)]
    assert PT_INTERP not in kinds
    assert PT_DYNAMIC not in kinds


@pytest.mark.parametrize("machine", MACHINES)
def test_a_shim_is_what_the_compiler_makes_of_its_source(machine: str, tmp_path: Path) -> None:
    if shutil.which(f"{machine}-linux-gnu-gcc") is None:
        pytest.skip(f"there is no compiler for {machine}")
    version = subprocess.run((f"{machine}-linux-gnu-gcc", "-dumpversion"), capture_output=True, text=True, check=True)
    if version.stdout.strip() != "12":
        pytest.skip("another compiler than that of Debian 12 makes other bytes")
    subprocess.run((str(SHIM / "build.sh"), str(tmp_path)), check=True, capture_output=True)
    for kind in KINDS:
        assert (tmp_path / f"{kind}-{machine}").read_bytes() == (SHIM / f"{kind}-{machine}").read_bytes()
