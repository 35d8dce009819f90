#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# An OCF agent of the lab: a service that is a file, /run/flags/NAME. Starts and stops are written down beside it. While
# NAME.stuck is there, it can't be stopped.
name=$OCF_RESKEY_flag
flag=/run/flags/$name

case $1 in
start)
    [ -e "$flag" ] || echo "$name start" >>/run/flags.log
    : >"$flag"
    ;;
stop)
    if [ -e "$flag" ]; then
        [ -e "$flag.stuck" ] && echo "ocf-exit-reason:$name does not let go" >&2 && exit 1
        rm "$flag" && echo "$name stop" >>/run/flags.log
    fi
    ;;
monitor)
    [ -e "$flag" ] || exit 7
    ;;
meta-data)
    cat <<END
<?xml version="1.0"?>
<resource-agent name="Flag" version="1.0"><version>1.1</version>
<longdesc lang="en">A service that is a file.</longdesc><shortdesc lang="en">A file</shortdesc>
<parameters><parameter name="flag" required="1" unique="1"><longdesc lang="en">Its name.</longdesc>
<shortdesc lang="en">Name</shortdesc><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20"/><action name="stop" timeout="20"/>
<action name="monitor" timeout="20" interval="5"/><action name="meta-data" timeout="5"/></actions>
</resource-agent>
END
    ;;
*)
    exit 3
    ;;
esac
