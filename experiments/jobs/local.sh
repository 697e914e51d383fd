#!/usr/bin/env bash
# Trains with several processes on the CPU of this machine: how a job is tried without a cluster.
# From the root of the repository:
#
#   experiments/jobs/local.sh --config=waveflow:demo --workdir=runs/try
#
# The arguments are those of experiments.train. From the environment:
#
#   PROCESSES            how many (2)
#   PYTHON               the interpreter (python)
#   JAX_NUM_CPU_DEVICES  devices of each process
#   KILLED_RESTARTS      how often to start again after a process was killed (3)
#
# SIGTERM to one of the processes is what a cluster does: all of them save, end with 75 and are
# started again. SIGTERM or Ctrl-C to this script is passed on, and ends it with 75.
set -euo pipefail

processes=${PROCESSES:-2}
python=${PYTHON:-python}
killed_restarts=${KILLED_RESTARTS:-3}
if [[ ! $processes =~ ^[1-9][0-9]*$ ]]; then
    echo "PROCESSES=$processes is not a number of processes" >&2
    exit 1
fi

pids=
stopping=
pass_on() {
    stopping=1
    for pid in $pids; do
        kill -TERM "$pid" 2>/dev/null || true
    done
}
trap pass_on INT TERM

# Sets code to how the process ended. A signal to this script ends the `wait` but not the process.
wait_for() {
    while true; do
        code=0
        wait "$1" || code=$?
        if ! kill -0 "$1" 2>/dev/null; then
            break
        fi
    done
    # What the last `wait` returned may still be the signal's number; this is the process's own.
    code=0
    wait "$1" || code=$?
}

while true; do
    port=$("$python" -c '
import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])')
    pids=
    # In process groups of their own: Ctrl-C goes to this script, which passes on one SIGTERM.
    set -m
    for ((index = 0; index < processes; index++)); do
        JAX_PLATFORMS=cpu "$python" -m experiments.train "$@" \
            "--distributed=127.0.0.1:$port,$processes,$index" </dev/null &
        pids="$pids $!"
    done
    set +m
    if [[ $stopping ]]; then # the signal came before there was anything to pass it on to
        pass_on
    fi

    again=0 killed=0 failed=0
    for pid in $pids; do
        wait_for "$pid"
        if ((code == 75 || code == 143)); then # 143: SIGTERM before or after the training itself
            again=1
        elif ((code > 128)); then
            killed=$code
        elif ((code > 0)); then
            failed=$code
        fi
    done
    if ((failed)); then
        exit "$failed"
    elif ((again == 0 && killed == 0)); then
        exit 0
    elif [[ $stopping ]]; then
        exit 75
    elif ((killed)) && ((killed_restarts-- <= 0)); then
        echo "local.sh: a process was killed (code $killed) once too often" >&2
        exit "$killed"
    fi
    echo "local.sh: starting all $processes processes again" >&2
done
