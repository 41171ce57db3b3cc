#!/bin/sh
# Compile the data path's programs. Usage: build.sh OUTPUT (default: the object in this folder, as shipped)
set -eu
cd "$(dirname "$0")"
output=${1:-weave.bpf.o}
triplet=$(uname -m)-linux-gnu
clang -O2 -Wall -Werror -target bpf -mcpu=v2 -fno-ident -I"/usr/include/$triplet" -c weave.bpf.c -o "$output"
llvm-strip -g "$output"
