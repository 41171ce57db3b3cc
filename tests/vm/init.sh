#!/bin/sh
# First process of the guest: makes it usable, runs one Python script, writes its exit status down, and powers off.
# The kernel's command line gives weave_python (interpreter), weave_modules (folder), weave_here (this folder), weave_script
# and weave_out.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
mkdir -p /run/netns
ip link set lo up
{
    python3 -S -E "$weave_here/modules.py" "$weave_modules" drbg hmac sha512_generic jitterentropy_rng esp4 xfrm_user gcm seqiv \
        ghash-generic ctr veth bridge vxlan tun cls_bpf sch_ingress nf_tables nft_xfrm act_mirred &&
        PYTHONPATH="$weave_here:$weave_here/../kernel:$weave_here/../.." "$weave_python" "$weave_script" "$weave_out"
} </dev/null >"$weave_out/log" 2>&1
echo $? >"$weave_out/status"
sync
echo o >/proc/sysrq-trigger
sleep 60
