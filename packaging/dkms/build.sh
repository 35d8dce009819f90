#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds drbd.ko for kernel RELEASE: `dkms/build.sh RELEASE HEADERS`, started in the directory of the sources.
#
# Debian's headers come without the metadata of the kernel's own Rust crates. It is made from the kernel's source package
# here, beside the sources, over a directory of links to the headers: nothing of another package is changed.
set -eu

here=$(pwd)
work=$here/.kernel

if [ "${1-}" = --clean ]; then
	rm -rf "$work"
	find . \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' -o -name '*.rmeta' \) -delete
	rm -f kmod/bindings.rs modules.order Module.symvers
	exit 0
fi

release=$1
headers=$(readlink -f "$2")
say() { echo "drbd-rs: $*"; }

if [ -e "$headers/rust/libkernel.rmeta" ]; then
	say "the headers of $release have Rust metadata"
	exec make -C "$headers" "M=$here" -j"$(nproc)" modules
fi

series=$(echo "$release" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/')
source=/usr/src/linux-source-$series.tar.xz
if [ ! -e "$source" ]; then
	say "cannot build for $release: $source is not there"
	say "install it:  apt-get install linux-source-$series"
	exit 1
fi

# It is large, and nobody needs what is left of a build that failed.
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
mkdir -p "$work/source" "$work/out" "$work/headers"
say "making the Rust metadata of kernel $release"
tar -xf "$source" -C "$work/source" --strip-components=1
version=$(make -s -C "$work/source" kernelversion)
if [ "$version" != "${release%%[+-]*}" ]; then
	say "cannot build for $release: $source is of kernel $version"
	say "bring them together:  apt-get install linux-image-amd64 linux-headers-amd64 linux-source-$series"
	exit 1
fi
cp "$headers/.config" "$work/out/.config"
make -C "$work/source" "O=$work/out" olddefconfig
if ! grep -q '^CONFIG_RUST=y' "$work/out/.config"; then
	say "kernel $release is not configured for Rust with the compilers that are installed"
	exit 1
fi
make -C "$work/source" "O=$work/out" -j"$(nproc)" prepare

cp -as "$headers/." "$work/headers/"
# Their directory of scripts is a link to one that other kernels use too: what is written there has to stay here.
rm -rf "$work/headers/rust" "$work/headers/scripts" "$work/headers/Makefile"
mkdir "$work/headers/scripts"
cp -as "$(readlink -f "$headers/scripts")/." "$work/headers/scripts/"
rm -f "$work/headers/scripts/target.json"
cp "$work/out/scripts/target.json" "$work/headers/scripts/target.json"
mv "$work/out/rust" "$work/headers/rust"
sed "s|$headers|$work/headers|g" "$headers/Makefile" > "$work/headers/Makefile"
make -C "$work/headers" "M=$here" -j"$(nproc)" modules
