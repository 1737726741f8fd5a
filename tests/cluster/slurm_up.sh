#!/bin/bash
# Brings up a real SLURM on this one machine, for tests: nodes n1, n2, ... on the loopback, with
# accounting and fake GPUs. Needs root on Debian (or Ubuntu); no systemd. Run again at will: what
# is up stays up, a drained or dead node comes back, and a half-started rest is stopped first.
# Installs what is missing with apt-get, and adds the names of the nodes to /etc/hosts.
#
#   tests/cluster/slurm_up.sh && export SLURM_CONF=/tmp/fokker-slurm/slurm.conf && sinfo
#
# Options, as environment variables:
#   FOKKER_SLURM  the folder with configuration, logs and state   (/tmp/fokker-slurm)
#   NODES, CPUS   the number of nodes, and of CPUs on each         (2, 4)
#   GPUS          fake GPUs on each node; jobs get CUDA_VISIBLE_DEVICES     (2)
#   DBD           1: accounting by slurmdbd and MariaDB, so that sacct works (1)
#   PORT          slurmctld; slurmdbd and MariaDB have the two below, the nodes those above (26817)
set -eu

FS=${FOKKER_SLURM:-/tmp/fokker-slurm}
NODES=${NODES:-2}
CPUS=${CPUS:-4}
GPUS=${GPUS:-2}
DBD=${DBD:-1}
PORT=${PORT:-26817}
DBD_PORT=$((PORT - 1))
SQL_PORT=$((PORT - 2))
HOST=$(hostname -s)
HERE=$(cd "$(dirname "$0")" && pwd)
OPTIONS="NODES=$NODES CPUS=$CPUS GPUS=$GPUS DBD=$DBD PORT=$PORT"
PATH=$PATH:/usr/sbin:/sbin
export FOKKER_SLURM=$FS SLURM_CONF=$FS/slurm.conf

fail() { echo "slurm_up: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "must be run by root"

# alive PIDFILE NAME: is the process of this file there, and is it the right program?
alive() { [ -s "$1" ] && [ "$(cat "/proc/$(cat "$1")/comm" 2>/dev/null)" = "$2" ]; }

# within SECONDS COMMAND...: repeats the command until it succeeds.
within() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}

nodes() { for i in $(seq "$NODES"); do echo "n$i"; done; }
sql() { mariadb --no-defaults --socket="$FS/db/sock" --user=root "$@"; }
controller() { scontrol ping | grep -q "is UP"; }
accounting() { [ "$DBD" = 0 ] || [ "$(sacctmgr -n -P list cluster format=cluster)" = fokker ]; }

# No node that is down, drained, not responding ("*") or not known yet. One may be at work, or
# planned for a job that waits.
ready() {
  local states
  states=$(sinfo -h -N -o %T) && [ "$(wc -l <<<"$states")" = "$NODES" ] &&
    ! grep -qE "down|drain|fail|unk|\*" <<<"$states"
}

# Starts the slurmd that are missing, resumes the nodes that are down or drained, until all is well.
mend() {
  local n end=$((SECONDS + 20))
  while [ $SECONDS -lt $end ]; do
    for n in $(nodes); do
      alive "$FS/slurmd.$n.pid" slurmd || slurmd -N "$n" </dev/null >>"$FS/log/start.log" 2>&1
      case $(sinfo -h -n "$n" -o %T) in
        down* | drain* | fail*) scontrol update nodename="$n" state=resume || true ;;
      esac
    done
    ! ready || return 0
    sleep 0.1
  done
  return 1
}

# --- The packages -------------------------------------------------------------------------------
packages=""
have() { command -v "$1" >/dev/null; }
{ have slurmctld && have slurmd && have sbatch && have munged; } ||
  packages="slurmctld slurmd slurm-client munge"
[ "$DBD" = 0 ] || { have slurmdbd && have mariadbd; } ||
  packages="$packages slurmdbd mariadb-server"
if [ -n "$packages" ]; then
  have apt-get || fail "needs $packages, and there is no apt-get"
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $packages </dev/null >/dev/null
fi

# --- Is it up? ----------------------------------------------------------------------------------
if [ -f "$FS/options" ] && controller; then
  [ "$(cat "$FS/options")" = "$OPTIONS" ] ||
    fail "is up with $(cat "$FS/options"), not $OPTIONS: slurm_down.sh first"
  if accounting && mend; then exit 0; fi
fi

# --- From the beginning: stop the rest of an earlier start, and forget its jobs ------------------
# With the old accounting, new jobs would have the numbers of old ones, and sacct mix them up.
[ ! -f "$FS/slurm.conf" ] || "$HERE/slurm_down.sh"
rm -rf "$FS"/{db,state,options} "$FS"/spool.n* "$FS"/*.pid
mkdir -p "$FS"/{log,state}
chmod 755 "$FS"

# Munge signs the messages; it listens on a Unix socket only. One that already runs will do.
install -d -o munge -g munge -m 0755 /run/munge
if ! munge -n >/dev/null 2>&1; then
  runuser -u munge -- munged --force </dev/null >>"$FS/log/start.log" 2>&1
  cp /run/munge/munged.pid "$FS/munged.pid"
fi

for n in $(nodes); do
  grep -qE "[[:space:]]$n([[:space:]]|$)" /etc/hosts || echo "127.0.0.1 $n" >>/etc/hosts
  mkdir -p "$FS/spool.$n"
done

# --- slurm.conf ---------------------------------------------------------------------------------
cat >"$FS/slurm.conf" <<CONF
ClusterName=fokker
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for this many seconds, and a few more (two minutes without the setting).
AuthInfo=cred_expire=5
# Nothing listens beyond the loopback.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$FS/state
SlurmdSpoolDir=$FS/spool.%n
SlurmctldPidFile=$FS/slurmctld.pid
SlurmdPidFile=$FS/slurmd.%n.pid
SlurmctldLogFile=$FS/log/slurmctld.log
SlurmdLogFile=$FS/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# Quick, for tests: schedule at once, and SIGKILL 5 s after SIGTERM.
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=1,sched_interval=1,batch_sched_delay=0
PriorityType=priority/basic
# A node that is set down stays down.
ReturnToService=0
JobRequeue=1
KillWait=5
OverTimeLimit=0
MinJobAge=600
# The nodes have more CPUs and memory than the machine.
SlurmdParameters=config_overrides
CONF

if [ "$DBD" = 1 ]; then
  cat >>"$FS/slurm.conf" <<CONF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=30
CONF
else
  cat >>"$FS/slurm.conf" <<CONF
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
CONF
fi

# A fake GPU is a second /dev/null.
gres=""
rm -f "$FS/gres.conf"
if [ "$GPUS" -gt 0 ]; then
  for g in $(seq 0 $((GPUS - 1))); do [ -e "$FS/gpu$g" ] || mknod "$FS/gpu$g" c 1 3; done
  echo "NodeName=n[1-$NODES] Name=gpu File=$FS/gpu[0-$((GPUS - 1))]" >"$FS/gres.conf"
  echo "GresTypes=gpu" >>"$FS/slurm.conf"
  gres="Gres=gpu:$GPUS"
fi

for i in $(seq "$NODES"); do
  echo "NodeName=n$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + i)) CPUs=$CPUS" \
    "RealMemory=8000 $gres State=UNKNOWN" >>"$FS/slurm.conf"
done
echo "PartitionName=main Nodes=n[1-$NODES] Default=YES MaxTime=INFINITE State=UP" \
  >>"$FS/slurm.conf"

# --- Accounting ---------------------------------------------------------------------------------
if [ "$DBD" = 1 ]; then
  install -d -o mysql -g mysql "$FS/db"
  mariadb-install-db --no-defaults --user=mysql --datadir="$FS/db" --skip-test-db \
    --auth-root-authentication-method=normal >"$FS/log/mariadb.log" 2>&1 ||
    fail "see $FS/log/mariadb.log"
  setsid mariadbd --no-defaults --user=mysql --datadir="$FS/db" --socket="$FS/db/sock" \
    --pid-file="$FS/db/mariadbd.pid" --bind-address=127.0.0.1 --port="$SQL_PORT" \
    --innodb-buffer-pool-size=32M --innodb-lock-wait-timeout=900 \
    --innodb-flush-log-at-trx-commit=0 </dev/null >>"$FS/log/mariadb.log" 2>&1 &
  within 30 sql -e "select 1" || fail "no MariaDB: see $FS/log/mariadb.log"
  sql -e "create database slurm;
    create user slurm@localhost identified by 'slurm'; grant all on slurm.* to slurm@localhost;
    create user slurm@127.0.0.1 identified by 'slurm'; grant all on slurm.* to slurm@127.0.0.1;"
  cat >"$FS/slurmdbd.conf" <<CONF
AuthType=auth/munge
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=root
LogFile=$FS/log/slurmdbd.log
PidFile=$FS/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$SQL_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
CommunicationParameters=NoInAddrAny
CONF
  chmod 600 "$FS/slurmdbd.conf"
  slurmdbd </dev/null >>"$FS/log/start.log" 2>&1
  within 30 sacctmgr -n list cluster || fail "no slurmdbd: see $FS/log/slurmdbd.log"
  sacctmgr -i -Q add cluster fokker >>"$FS/log/start.log" 2>&1
fi

# --- SLURM itself -------------------------------------------------------------------------------
slurmctld -c </dev/null >>"$FS/log/start.log" 2>&1
within 20 controller || fail "no slurmctld: see $FS/log/slurmctld.log"
mend || fail "the nodes do not come up: see $FS/log"
within 20 accounting || fail "no accounting: see $FS/log/slurmdbd.log"
echo "$OPTIONS" >"$FS/options"
