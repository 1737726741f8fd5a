#!/bin/bash
# Stops what slurm_up.sh started, jobs included, and nothing else: it goes by the pid files in
# FOKKER_SLURM (/tmp/fokker-slurm). The logs stay.
set -u

FS=${FOKKER_SLURM:-/tmp/fokker-slurm}
export SLURM_CONF=$FS/slurm.conf
[ -f "$SLURM_CONF" ] || exit 0

# The jobs first: a slurmstepd that cannot reach slurmctld any more stays for minutes, and keeps
# its slurmd, and the port.
if timeout 5 scontrol ping 2>/dev/null | grep -q "is UP"; then
  scancel --user=root
  for _ in $(seq 150); do [ -n "$(squeue -h)" ] || break; sleep 0.1; done
fi

# stop PIDFILE NAME: ends the process, if it is still the right program; by force after 10 s.
stop() {
  local pid
  [ -s "$1" ] || return 0
  pid=$(cat "$1")
  there() { [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] &&
    ! grep -q "^State:.*Z" "/proc/$pid/status" 2>/dev/null; }
  if there "$2"; then
    kill "$pid"
    for _ in $(seq 100); do there "$2" || break; sleep 0.1; done
    ! there "$2" || kill -9 "$pid"
  fi
  rm -f "$1"
}

for file in "$FS"/slurmd.*.pid; do stop "$file" slurmd; done
stop "$FS/slurmctld.pid" slurmctld
stop "$FS/slurmdbd.pid" slurmdbd
stop "$FS/db/mariadbd.pid" mariadbd
stop "$FS/munged.pid" munged
rm -f "$FS/options"
