#!/usr/bin/env bash
# Trains on a Cloud TPU, from your own machine: makes the TPU, installs the committed state of this
# repository on all its hosts, trains, and deletes it. Needs git and gcloud, with a login.
#
#   TPU=wf-jax ZONE=us-west4-a experiments/jobs/tpu_vm.sh \
#       --config=waveflow:64 --workdir=gs://BUCKET/runs/lj \
#       --config.data.corpus=data/lj
#
# The arguments are those of experiments.train. From the environment:
#
#   TPU, ZONE        name and place of the TPU; one that exists is used
#   TYPE             what to make (v5litepod-16)
#   VERSION          of its software (v2-alpha-tpuv5-lite)
#   SPOT=1           make a spot TPU
#   SETUP            a command for every host, in the repository, after the install, e.g.
#                    'mkdir data && gcloud storage cp --recursive gs://BUCKET/lj data'
#   KEEP=1           do not delete the TPU at the end, be it a good or a bad one
#   RETRY_SECONDS    between attempts to make a TPU again (300)
#   KILLED_RESTARTS  how often in a row to start again after a process was killed (3)
#
# The training is started again while it ends with 75, and on a new TPU when this one was taken
# away. Ctrl-C here has it save before the TPU is deleted; the same command continues it.
set -euo pipefail

fail() {
    echo "tpu_vm.sh: $1" >&2
    exit "${2:-1}"
}

: "${TPU:?tpu_vm.sh: set TPU to the name of the TPU}"
: "${ZONE:?tpu_vm.sh: set ZONE, e.g. us-west4-a}"
type=${TYPE:-v5litepod-16}
version=${VERSION:-v2-alpha-tpuv5-lite}
retry_seconds=${RETRY_SECONDS:-300}
killed_restarts=${KILLED_RESTARTS:-3}
if [[ " $* " != *" --config="* ]]; then
    fail "the arguments are those of experiments.train; --config=FILE.py is missing"
elif [[ " $* " != *" --workdir=gs://"* ]]; then
    fail "give --workdir=gs://...: the TPU's disks go with it, and all its hosts need the folder"
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

tpu() { # tpu ACTION ARGUMENTS...
    gcloud compute tpus tpu-vm "$@" --zone="$ZONE" --quiet
}

on_hosts() { # on_hosts WHICH COMMAND
    # A host that is gone does not close its connection: it has to be missed.
    tpu ssh "$TPU" --worker="$1" --command="$2" \
        --ssh-flag=-oServerAliveInterval=30 --ssh-flag=-oServerAliveCountMax=4
}

state() { # nothing where there is no such TPU
    tpu describe "$TPU" --format='value(state)' 2>/dev/null || true
}

scratch=$(mktemp -d)
finish() {
    local code=$?
    trap '' INT TERM
    rm -rf "$scratch"
    if [[ ${KEEP:-} != 1 && $(state) ]]; then
        echo "tpu_vm.sh: deleting $TPU" >&2
        if ! tpu delete "$TPU"; then
            echo "tpu_vm.sh: $TPU IS STILL THERE; delete it yourself:" \
                "gcloud compute tpus tpu-vm delete $TPU --zone=$ZONE" >&2
        fi
    fi
    exit "$code"
}
trap finish EXIT

stopping=
stop() {
    if [[ $stopping ]]; then
        exit 75 # the second time does not wait for the training to save
    fi
    stopping=1
    echo "tpu_vm.sh: stopping" >&2
    # One process is enough, they agree among themselves.
    # shellcheck disable=SC2016  # for the shell over there
    on_hosts 0 'kill -TERM "$(cat wf_jax/train.pid)"' || true
}
trap stop INT TERM

create() {
    tpu create "$TPU" --accelerator-type="$type" --version="$version" ${SPOT:+--spot}
}

# In a branch of `if`, where `set -e` does not apply: hence the &&.
install() {
    git -C "$root" archive --format=tar.gz --output="$scratch/wf_jax.tar.gz" HEAD &&
        tpu scp "$scratch/wf_jax.tar.gz" "$TPU:wf_jax.tar.gz" --worker=all &&
        on_hosts all "$stop_previous; $unpack" &&
        if [[ ${SETUP:-} ]]; then on_hosts all "cd wf_jax && $SETUP"; fi
}

# What the hosts run. A training may still be there, of a connection that broke.
# shellcheck disable=SC2016  # for the shell over there
stop_previous='
previous=$(cat wf_jax/train.pid 2>/dev/null)
if [ -n "$previous" ] && kill -TERM "$previous" 2>/dev/null; then
    for second in $(seq 120); do kill -0 "$previous" 2>/dev/null || break; sleep 1; done
    kill -KILL "$previous" 2>/dev/null
fi'

# uv brings the Python, which is too old on these images.
unpack='
rm -rf wf_jax && mkdir wf_jax && tar -xzf wf_jax.tar.gz -C wf_jax && cd wf_jax &&
python3 -m pip install --quiet --user uv && ~/.local/bin/uv venv --quiet --python=3.12 .venv &&
~/.local/bin/uv pip install --quiet --python=.venv --constraint=constraints.txt ".[tpu,gcs]"'

train() { # train ARGUMENTS...
    local arguments
    arguments=$(printf ' %q' "$@")
    # gcloud repeats, on its own, a command whose connection broke. One host by itself cannot start
    # again: it says 75, and all do.
    on_hosts all "$stop_previous
cd wf_jax || exit 1
if [ \"\$(cat attempt 2>/dev/null)\" = $attempt ]; then exit 75; fi
echo $attempt > attempt
.venv/bin/python -m experiments.train --distributed=auto$arguments &
echo \$! > train.pid
wait \$!
code=\$?
rm train.pid
if [ \$code -gt 0 ] && [ \$code -lt 75 ]; then echo \$code > error; fi
exit \$code"
}

made_before='' installed='' killed=0 started=0 session=$(date +%s)-$$
while true; do
    if [[ $stopping ]]; then
        exit 75
    fi
    now=$(state)
    case $now in
        READY) ;;
        CREATING | STARTING | RESTARTING | REPAIRING)
            sleep "$retry_seconds"
            continue
            ;;
        *)
            if [[ $now ]]; then
                echo "tpu_vm.sh: $TPU is $now, making it again" >&2
                tpu delete "$TPU" || true
            fi
            until create; do
                if [[ ! $made_before || $stopping ]]; then
                    fail "$TPU could not be made"
                fi
                echo "tpu_vm.sh: trying again in $retry_seconds s" >&2
                sleep "$retry_seconds"
            done
            installed=
            ;;
    esac
    made_before=1
    if [[ ! $installed ]]; then
        if ! install; then
            if [[ $(state) == READY ]]; then
                fail "the install failed"
            fi
            continue
        fi
        installed=1
    fi
    if [[ $stopping ]]; then # meanwhile
        exit 75
    fi

    # In the background and in a process group of its own: Ctrl-C is for this script.
    started=$((started + 1))
    attempt=$session-$started
    set -m
    train "$@" </dev/null &
    set +m
    running=$!
    while true; do
        code=0
        wait "$running" || code=$?
        if ! kill -0 "$running" 2>/dev/null; then
            break
        fi
    done
    code=0
    wait "$running" || code=$?

    if ((code == 0)); then
        echo "tpu_vm.sh: finished" >&2
        exit 0
    elif ((code == 75 || code == 143)); then # 143: SIGTERM before or after the training itself
        killed=0
        # This is the code of one host. When another ended with an error, the rest say 75.
        error=$(on_hosts all 'cat wf_jax/error 2>/dev/null; true' | head -n 1) || true
        if [[ $error ]]; then
            fail "the training failed with code $error; its own message is above" "$error"
        fi
        [[ $stopping ]] || echo "tpu_vm.sh: starting again" >&2
    elif [[ $(state) != READY ]]; then
        echo "tpu_vm.sh: $TPU was taken away" >&2
        installed=
    elif ((code > 128 && killed < killed_restarts)); then
        killed=$((killed + 1))
        echo "tpu_vm.sh: a process was killed, or contact lost (code $code); starting again" >&2
    else
        fail "the training failed with code $code; its own message is above" "$code"
    fi
done
