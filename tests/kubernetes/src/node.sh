#!/bin/sh
# The first process of a node, in mount and process namespaces of its own: what it mounts nobody else sees, and everything in it
# ends with it. NODE is its folder, PROGRAMS where testkube is, CGROUP its control group, RUNTIME the path of containerd and runc.
set -eu
mkdir -p "$NODE/memory" && mount -t tmpfs memory "$NODE/memory" && mkdir "$NODE/memory/upper" "$NODE/memory/work"
# kubelet, containerd and the network plugins write into these whatever they are told.
mount -t overlay -o "lowerdir=/var/lib,upperdir=$NODE/memory/upper,workdir=$NODE/memory/work" larnax-test /var/lib
mount -t tmpfs -o mode=755 log /var/log
mount -t tmpfs -o mode=755 run /run && mkdir /run/netns /run/containerd
mount --bind /run/netns /run/netns && mount --make-shared /run/netns
# kubelet would set these for the whole machine. It finds the values that it wants.
mkdir -p "$NODE/sys"
while read -r file value; do
    [ -e "/proc/sys/$file" ] || continue
    shown="$NODE/sys/$(echo "$file" | tr / _)"
    echo "$value" >"$shown" && mount --bind "$shown" "/proc/sys/$file"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
containerd --config "$NODE/containerd.toml" --log-level warn &
until ctr --address "$NODE/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
for image in "$NODE"/../images/*.tar; do
    ctr --address "$NODE/containerd.sock" --namespace k8s.io images import "$image"
done
while :; do
    "$TESTKUBE" kubelet --config="$NODE/kubelet.json" --kubeconfig="$KUBECONFIG" --root-dir="$NODE/kubelet" \
        --hostname-override="$NAME" --node-ip="$ADDRESS" --v=1 || true
    echo "the kubelet has ended; again in a second"
    sleep 1
done
