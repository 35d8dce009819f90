#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# First program of a guest: finds the shared read-only root file system, puts
# a memory file system over it, adds what the harness sent along and becomes
# the agent. Kernel arguments lab_* arrive here as environment variables.

export PATH=/bin:/sbin:/usr/bin:/usr/sbin
b=/bin/busybox
die() { echo "drbd-lab: init failed: $*"; $b sleep 1; $b poweroff -f; }

$b mkdir -p /proc /sys /dev /lower /rw /newroot
$b mount -t proc proc /proc || die "mount /proc"
$b mount -t sysfs sys /sys || die "mount /sys"
$b mount -t devtmpfs dev /dev || die "mount /dev"
# What scripts take for granted, and devtmpfs does not make.
$b ln -s /proc/self/fd /dev/fd
for n in 0:stdin 1:stdout 2:stderr; do $b ln -s "/proc/self/fd/${n%%:*}" "/dev/${n##*:}"; done

# Addresses come from us alone, at once, and the network stays quiet.
for knob in accept_dad accept_ra autoconf router_solicitations; do
	echo 0 >/proc/sys/net/ipv6/conf/default/$knob
done 2>/dev/null

for module in virtio_pci virtio_mmio virtio_blk virtio_net virtio_console \
	overlay "$lab_fstype"; do
	$b modprobe -q "$module"
done

if [ -n "$lab_probe" ]; then
	echo "drbd-lab: alive"
	$b poweroff -f
fi

root=
tries=0
while [ -z "$root" ]; do
	for disk in /sys/block/vd*; do
		# The attribute has no newline at its end: read "fails" on it.
		serial=
		read -r serial <"$disk/serial" 2>/dev/null
		[ "$serial" = drbd-lab-root ] && root=/dev/${disk##*/}
	done
	tries=$((tries + 1))
	[ $tries -gt 100 ] && die "no root disk"
	[ -n "$root" ] || $b sleep 0.1
done

$b mount -t "$lab_fstype" -o ro "$root" /lower || die "mount $root as $lab_fstype"
$b mount -t tmpfs -o size=75%,mode=755 rw /rw || die "mount /rw"
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work \
	root /newroot || die "mount the overlay"
stock=/newroot/usr/lib/drbd-lab/stock
if [ -n "$lab_ours" ]; then
	# The distribution's tools stay at hand for tests of our module with them.
	$b mkdir -p $stock
	$b cp -a /newroot/usr/sbin/drbdadm /newroot/usr/sbin/drbdsetup \
		/newroot/usr/sbin/drbdmeta $stock/
fi
$b cp -a /payload/. /newroot/ || die "copy the payload"

if [ -n "$lab_ours" ]; then
	# A kernel that came without a tree of modules has no lists of them, and depmod would complain.
	tree=/newroot/usr/lib/modules/$($b uname -r)
	for list in modules.order modules.builtin modules.builtin.modinfo; do
		[ -e "$tree/$list" ] || : > "$tree/$list"
	done
	# modprobe prefers what lies in updates/, once depmod has seen it.
	$b chroot /newroot /usr/sbin/depmod -a || die "depmod"
fi

$b hostname "$lab_name"
$b ip link set lo up
nic=0
while [ "$nic" -lt "${lab_nics:-0}" ]; do
	$b ip addr add "10.77.$nic.$lab_node/24" dev "eth$nic" || die "address of eth$nic"
	$b ip link set "eth$nic" up
	prefix=fd77:
	[ "$nic" -gt 0 ] && prefix=fd77:$nic:
	$b ip -6 addr add "$prefix:$lab_node/64" dev "eth$nic"
	nic=$((nic + 1))
done

# The kernel booted with one processor, see the harness's arguments.
for knob in /sys/devices/system/cpu/cpu[0-9]*/online; do
	echo 1 >"$knob"
done 2>/dev/null

echo 30 >/proc/sys/kernel/hung_task_timeout_secs 2>/dev/null
echo 1 >/proc/sys/kernel/sysrq
echo 7 >/proc/sys/kernel/printk

for dir in proc sys dev; do
	$b mount --move /$dir /newroot/$dir || die "move /$dir"
done
cd /newroot || die "enter the root"
$b mkdir -p dev/pts dev/shm
$b mount -t devpts devpts dev/pts
$b mount -t tmpfs shm dev/shm
$b mount -t tmpfs -o mode=755 run run
$b mount -t tmpfs tmp tmp
$b mkdir -p run/lock dev/disk/by-serial
$b mount -t debugfs debugfs sys/kernel/debug 2>/dev/null
for disk in /newroot/sys/block/vd*; do
	serial=
	read -r serial <"$disk/serial"
	[ -n "$serial" ] &&
		$b ln -s "../../${disk##*/}" "dev/disk/by-serial/$serial"
done 2>/dev/null

export HOME=/root TERM=linux LANG=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec $b switch_root /newroot /usr/lib/drbd-lab/agent init
