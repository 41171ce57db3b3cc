#!/bin/sh
# Prepare a virtual environment and the Debian packages that the targets need. Idempotent.
# Usage: ./setup.sh VENV_DIRECTORY [test]     `test` adds what only the tests need
set -eu
venv=$1
missing=
wanted=
if [ "${2:-}" = test ]; then
    wanted="dockerd:docker.io docker:docker.io busybox:busybox-static tcpdump:tcpdump openssl:openssl"
    wanted="$wanted dig:bind9-dnsutils musl-gcc:musl-tools dnsperf:dnsperf"
fi
# User-Mode Linux is built for x86-64 only; where it is missing, tests/vm is skipped and says so.
[ "${2:-}" = test ] && [ "$(uname -m)" = x86_64 ] && wanted="$wanted linux.uml:user-mode-linux"
for pair in $wanted ip:iproute2 tc:iproute2 ping:iputils-ping clang:clang llvm-strip:llvm nft:nftables; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
[ -e /usr/include/linux/bpf.h ] || missing="$missing linux-libc-dev"
[ -e /usr/include/bpf/bpf_helpers.h ] || missing="$missing libbpf-dev"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "setup: these Debian packages are missing:$missing" >&2
        echo "setup: run 'apt-get install$missing' as root, then try again" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    apt-get update -qq
    # shellcheck disable=SC2086  # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
echo "setup: Python packages into $venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
