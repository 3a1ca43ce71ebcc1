#!/bin/bash
# A small cluster of real Slurm on one machine, on loopback alone, without systemd and
# without accounting. It needs root and Debian's slurmctld, slurmd, slurm-client,
# slurm-wlm-basic-plugins and munge. All nodes share the machine: the lab proves control
# flow and never performance.
#
#   lab.sh up [N]        start munged, slurmctld and N slurmds (8) and wait until all are idle
#   lab.sh down          stop all that it started
#   lab.sh env           print what a shell needs: eval "$(lab.sh env)"
#   lab.sh cut NODE      power failure: slurmd, its jobs and all that they started die at once
#   lab.sh join NODE     start the node's slurmd again
#   lab.sh hide NODE DIR the node sees an empty directory in place of DIR; show ends that
#   lab.sh controller    stop slurmctld and start it again
#
# What 64 nodes cost is printed by
#   PERWATT_LAB_NODES=64 go test -v -run LabMany ./harness/fleet/slurm
#
# SLURM_LAB is its directory (/var/tmp/slurm-lab); SLURM_LAB_PORT is the controller's
# port (17800), those after it are the nodes'.
set -u
root=${SLURM_LAB:-/var/tmp/slurm-lab}
port=${SLURM_LAB_PORT:-17800}
export SLURM_CONF=$root/etc/slurm.conf PATH=$PATH:/usr/sbin

die() { echo "lab.sh: $*" >&2; exit 1; }

configure() { # N
	local n=$1 half=$((($1 + 1) / 2)) i
	cat >"$SLURM_CONF" <<-END
		ClusterName=lab
		SlurmctldHost=localhost(127.0.0.1)
		SlurmctldPort=$port
		SlurmUser=root
		SlurmdUser=root
		AuthType=auth/munge
		CredType=cred/munge
		AuthInfo=socket=$root/run/munge.socket,cred_expire=15
		CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
		StateSaveLocation=$root/state
		SlurmdSpoolDir=$root/spool/%n
		SlurmctldPidFile=$root/run/slurmctld.pid
		SlurmdPidFile=$root/run/slurmd.%n.pid
		SlurmctldLogFile=$root/log/slurmctld
		SlurmdLogFile=$root/log/slurmd.%n
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SwitchType=switch/none
		MpiDefault=none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core
		SlurmdParameters=config_overrides
		SchedulerType=sched/backfill
		SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
		TopologyPlugin=topology/tree
		ReturnToService=2
		SlurmdTimeout=10
		SlurmctldTimeout=10
		KillWait=3
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		PropagateResourceLimits=NONE
	END
	# More processors than the machine has are claimed on purpose: each node claims all.
	for i in $(seq "$n"); do
		echo "NodeName=n$i NodeHostname=n$i NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$(nproc) RealMemory=1000 State=UNKNOWN"
	done >>"$SLURM_CONF"
	echo "PartitionName=all Nodes=n[1-$n] Default=YES MaxTime=60 State=UP OverSubscribe=EXCLUSIVE" >>"$SLURM_CONF"
	cat >"$root/etc/topology.conf" <<-END
		SwitchName=leaf1 Nodes=n[1-$half]
		SwitchName=leaf2 Nodes=n[$((half + 1))-$n]
		SwitchName=spine Switches=leaf[1-2]
	END
	{ echo "127.0.0.1 localhost $(hostname)"; for i in $(seq "$n"); do echo "127.0.0.1 n$i"; done; } >"$root/etc/hosts"
}

# begin NAME COMMAND… starts a process in a session of its own and notes its number.
begin() {
	local name=$1; shift
	setsid "$@" >>"$root/log/$name.out" 2>&1 </dev/null &
	echo $! >"$root/run/$name.started"
}

# running PROCESS: a zombie is not, however long its parent leaves it.
running() { case $(sed 's/.*) //;q' "/proc/$1/stat" 2>/dev/null) in '' | Z*) return 1 ;; esac; }

end() { # NAME SIGNAL
	local file=$root/run/$1.started pid i
	[ -s "$file" ] || return 0
	pid=$(cat "$file")
	kill "-$2" "$pid" 2>/dev/null
	for i in $(seq 200); do running "$pid" || break; sleep 0.1; done
	kill -KILL "$pid" 2>/dev/null
	rm -f "$file"
}

await() { # WHAT COMMAND…: for a minute
	local what=$1 i; shift
	for i in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
	die "$what does not come up; see $root/log"
}

controller() { begin slurmctld slurmctld -D -f "$SLURM_CONF"; await slurmctld scontrol ping; }

# Namespaces of its own make a node: its processes die with the first, and its jobs see
# the node's host name and have a /tmp of their own, as on a machine.
join() {
	mkdir -p "$root/spool/$1"
	begin "slurmd.$1" unshare --uts --fork --pid --mount-proc --kill-child=KILL \
		bash -c 'hostname "$0"; mount --bind "$1/etc/hosts" /etc/hosts; mount -t tmpfs none /tmp; exec slurmd -D -N "$0" -f "$1/etc/slurm.conf"' "$1" "$root"
}

# within NODE COMMAND… runs a command where the node's slurmd sees the file system.
within() {
	local pid
	pid=$(cat "$root/run/slurmd.$1.started") && pid=$(cat "/proc/$pid/task/$pid/children") || die "$1 is not up"
	shift
	nsenter -m -t "${pid%% *}" "$@"
}

idle() { [ "$(sinfo -h -N -t idle -o %N | wc -l)" -ge "$1" ]; }

up() {
	local n=${1:-8} i
	[ "$(id -u)" = 0 ] || die "it needs root"
	[ -e "$root/run/munged.started" ] && die "$root is up; down first"
	for i in munged slurmctld slurmd sinfo unshare; do command -v $i >/dev/null || die "$i is missing"; done
	umask 022
	mkdir -p "$root"/{etc,run,log,state,spool}
	configure "$n"
	(umask 077; head -c 128 /dev/urandom >"$root/etc/munge.key")
	begin munged munged --foreground --force --key-file="$root/etc/munge.key" --socket="$root/run/munge.socket" \
		--pid-file="$root/run/munged.pid" --log-file="$root/log/munged" --seed-file="$root/etc/munge.seed" --num-threads=2
	await munged munge -n -S "$root/run/munge.socket"
	controller
	for i in $(seq "$n"); do join "n$i"; done
	await "a node" idle "$n"
}

down() {
	local f
	for f in "$root"/run/slurmd.*.started; do
		[ -e "$f" ] && f=${f##*/} && end "${f%.started}" KILL &
	done
	wait
	end slurmctld TERM
	end munged TERM
}

case ${1:-} in
up) up "${2:-8}" ;;
down) down ;;
env) echo "export SLURM_CONF=$SLURM_CONF PATH=\$PATH:/usr/sbin" ;;
cut) end "slurmd.$2" KILL ;;
join) join "$2" ;;
hide) within "$2" mount -t tmpfs none "$3" ;;
show) within "$2" umount "$3" ;;
controller) end slurmctld TERM; controller ;;
*) sed -n '2,/^set/s/^# \?//p' "$0"; exit 2 ;;
esac
