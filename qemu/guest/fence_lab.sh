#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fence agent (fence-agents API: options on standard input) for the power switch of the lab, which is asked through a
# virtio-serial port of its own: no network is in the way.

action= plug= nodename= timeout=20
take() {
	case $1 in
	action|option) action=$2 ;;
	plug|port) plug=$2 ;;
	nodename) nodename=$2 ;;
	power_timeout) timeout=$2 ;;
	esac
}
if [ $# -gt 0 ]; then
	while getopts o:n: letter; do
		case $letter in
		o) take action "$OPTARG" ;;
		n) take plug "$OPTARG" ;;
		*) exit 1 ;;
		esac
	done
else
	while IFS= read -r line; do
		case $line in
		\#*) ;;
		*=*) take "${line%%=*}" "${line#*=}" ;;
		esac
	done
fi
: "${plug:=$nodename}"

metadata() {
	cat <<'XML'
<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="Power switch of the lab">
  <longdesc>Switches virtual machines of the lab on and off.</longdesc>
  <parameters>
    <parameter name="action" unique="0" required="1"><getopt mixed="-o"/><content type="string" default="off"/><shortdesc lang="en">Fencing action</shortdesc></parameter>
    <parameter name="plug" unique="0" required="1" obsoletes="port"><getopt mixed="-n"/><content type="string"/><shortdesc lang="en">Name of the machine</shortdesc></parameter>
    <parameter name="power_timeout" unique="0" required="0"><content type="second" default="20"/><shortdesc lang="en">Seconds that the switch may take</shortdesc></parameter>
  </parameters>
  <actions>
    <action name="on" automatic="0"/>
    <action name="off"/>
    <action name="reboot"/>
    <action name="status"/>
    <action name="list"/>
    <action name="monitor"/>
    <action name="metadata"/>
    <action name="validate-all"/>
  </actions>
</resource-agent>
XML
}

fail() {
	echo "fence_lab: $action $plug: $*" >&2
	exit 1
}

# Sends one question; its answer, without the number, is in $answer.
ask() {
	local port= name id=$$.$RANDOM line
	for name in /sys/class/virtio-ports/*/name; do
		[ "$(<"$name")" = drbd-lab-power ] && port=/dev/$(basename "${name%/name}")
	done
	[ -n "$port" ] || fail "this machine has no line to a power switch"
	# One program at a time can have the port open.
	exec 8>/run/fence_lab.lock
	flock -w "$timeout" 8 || fail "the line to the power switch is in use"
	exec 9<>"$port" || fail "cannot open $port"
	echo "$id $*" >&9
	while IFS= read -r -t "$timeout" -u 9 line; do
		# What answers a question of somebody who has gone is not for us.
		[ "${line%% *}" = "$id" ] || continue
		answer=${line#* }
		exec 9>&- 8>&-
		return 0
	done
	fail "the power switch does not answer"
}

case $action in
metadata) metadata ;;
validate-all) ;;
monitor)
	ask monitor
	[ "$answer" = ok ] || fail "$answer"
	;;
list)
	ask list
	case $answer in
	ok*) for name in ${answer#ok}; do echo "$name,"; done ;;
	*) fail "$answer" ;;
	esac
	;;
status)
	ask status "$plug"
	case $answer in
	"ok on") exit 0 ;;
	"ok off") exit 2 ;;
	*) fail "$answer" ;;
	esac
	;;
on|off|reboot)
	ask "$action" "$plug"
	[ "$answer" = ok ] || fail "$answer"
	;;
*) fail "there is no such action" ;;
esac
