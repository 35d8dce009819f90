#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Waits until a resource could be promoted: `drbd-wait-promotable.sh RESOURCE`. Whoever started it decides how long.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: ${0##*/} RESOURCE" >&2
	exit 2
fi

while :; do
	state=$(/usr/sbin/drbdsetup events2 --now "$1" | grep '^exists resource ') || state=
	case $state in
	*may_promote:yes*) exit 0 ;;
	# It is Primary already.
	*role:Primary*) exit 0 ;;
	'')
		echo "${0##*/}: resource $1 is not configured in the kernel" >&2
		exit 1
		;;
	esac
	sleep 1
done
