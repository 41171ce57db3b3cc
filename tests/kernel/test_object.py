"""The compiled programs in the repository are those of the source beside them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from datapath import elf

BUILD = Path(elf.__file__).parent / "bpf" / "build.sh"


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed: the object is not compared")
def test_the_object_is_built_from_the_source(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.o"
    subprocess.run([str(BUILD), str(fresh)], check=True)
    assert elf.read(fresh) == elf.read()


def test_damage_is_told_apart_from_programs(tmp_path: Path) -> None:
    whole = elf.OBJECT.read_bytes()
    for size in (0, 5, 64, len(whole) // 2, len(whole) - 1):
        broken = tmp_path / "broken.o"
        broken.write_bytes(whole[:size])
        with pytest.raises(elf.BrokenObject):
            elf.read(broken)
