#!/usr/bin/env bash
# Trains on a Slurm cluster, one process per GPU. From the root of the repository, with the
# environment that has wf_jax active (or PYTHON=... naming its interpreter):
#
#   sbatch --nodes=4 experiments/jobs/slurm.sh --config=waveflow:64 \
#       --workdir=/shared/runs/lj --config.data.corpus=/shared/data/lj
#
# The arguments are those of experiments.train; the workdir must be seen by all nodes. Options of
# sbatch before the script override those below, e.g. --ntasks-per-node=4 --gres=gpu:4 on nodes with
# four GPUs. The two are the same number. A sweep is an array, one variant per task:
#
#   sbatch --array=0-7 --ntasks-per-node=1 --gres=gpu:1 experiments/jobs/slurm.sh \
#       --config=a2_capture:demo --workdir=/shared/runs/rates \
#       --sweep=experiments/configs/sweep_learning_rate.py
#
# Two minutes before its time is up the run saves, and the job goes back into the queue until the
# run is finished; likewise when it is preempted, and when a process of it was killed unless the job
# was in the queue KILLED_RESTARTS times (3) before. `scancel` ends it; the same command continues.
#SBATCH --job-name=wf_jax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gres=gpu:8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
# Without "B:", so that it goes to the processes under srun; they answer with exit code 75.
#SBATCH --signal=TERM@120
set -euo pipefail

job=$SLURM_JOB_ID
if [[ ${SLURM_ARRAY_TASK_ID:-} ]]; then
    if [[ " $*" != *" --sweep="* ]]; then
        echo "slurm.sh: every task of the array would train the same; give --sweep=FILE.py" >&2
        exit 1
    fi
    set -- "$@" "--sweep_index=$SLURM_ARRAY_TASK_ID"
    # Not SLURM_JOB_ID: in one of the tasks that is the number of the whole array.
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
fi

# srun returns the highest code of all processes. When one ends with an error the others say 75, so
# that an error must be more than that. The shell waits for its process whatever signal comes.
error=100
# shellcheck disable=SC2016  # for the shell over there
one_process='
trap : TERM
"$@"
code=$?
if ((code > 0 && code < 75)); then exit '$error'; fi
exit $code'

# Clusters may be set to kill a step at its first exit code, while other processes still save.
# srun has not taken over --cpus-per-task from sbatch since Slurm 22.05.
code=0
srun --kill-on-bad-exit=0 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    bash -c "$one_process" wf_jax \
    "${PYTHON:-python}" -m experiments.train --distributed=auto "$@" || code=$?

# Above 128 one was killed; 143 is by SIGTERM, before or after the training itself.
if ((code == 75 || code == 143)) ||
    ((code > 128 && ${SLURM_RESTART_COUNT:-0} < ${KILLED_RESTARTS:-3})); then
    echo "slurm.sh: exit code $code, back into the queue"
    scontrol requeue "$job"
    exit 0
fi
if ((code == error)); then
    exit 1
fi
exit "$code"
