#!/bin/sh
# What net-snmp's pass_persist, or with -g its pass, asks for the values of a
# directory: files named by OID that hold a type and a value, a line each.
give() {
	if [ -r "$dir/$1" ]; then
		echo "$1"
		cat "$dir/$1"
	else
		[ -n "$once" ] || echo NONE
	fi
}
dir=$1
shift
if [ "$1" = -g ]; then
	once=yes
	give "$2"
	exit
fi
[ -z "$1" ] || exit
while read -r what; do
	case $what in
	PING) echo PONG ;;
	get) read -r oid && give "$oid" ;;
	*) read -r oid && echo NONE ;;
	esac
done
