#!/bin/sh
# Build the shim for every machine into DIRECTORY (here, unless given). Only developers need it: the results are kept in
# the repository. Debian packages: gcc, linux-libc-dev,
# gcc-aarch64-linux-gnu, linux-libc-dev-arm64-cross.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
to=${1:-$here}
flags="-Os -Wall -Wextra -Werror -ffreestanding -nostdlib -static -no-pie -fno-pie -fno-stack-protector
    -fno-asynchronous-unwind-tables -fno-ident -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,norelro -s"
for machine in x86_64 aarch64; do
    command -v "$machine-linux-gnu-gcc" >/dev/null || { echo "build.sh: no $machine-linux-gnu-gcc" >&2; continue; }
    # shellcheck disable=SC2086  # one word per flag
    "$machine-linux-gnu-gcc" $flags -o "$to/wait-$machine" "$here/shim.c"
    # shellcheck disable=SC2086
    "$machine-linux-gnu-gcc" $flags -DWITHOUT_MULTICAST -o "$to/wait-no-multicast-$machine" "$here/shim.c"
done
