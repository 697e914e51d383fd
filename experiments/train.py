"""Trains a model: python -m experiments.train --config=a2_capture --workdir=DIR.

Stopped by Ctrl-C it keeps the best so far; by SIGTERM it saves and exits with code 75, "start me
again". Started again with the same --workdir it continues.
"""

from absl import flags
from ml_collections import config_flags

from experiments.run.training import Requests, train
from experiments.terminal.parsing import config_of
from experiments.terminal.start import start

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "a2_capture, waveflow:64, ..., or a file: the run's configuration"
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run, local or gs://; continued if it exists", required=True
)
_DISTRIBUTED = flags.DEFINE_string(
    "distributed", "auto", "auto (Cloud TPU, GKE, Slurm), none, or HOST:PORT,COUNT,INDEX"
)
_INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Begin with the parameters of this run or model folder, where they fit"
)
_PROFILE_STEPS = flags.DEFINE_string(
    "profile_steps", None, "FIRST:LAST, write a trace of these steps of the session"
)
_DEBUG_NANS = flags.DEFINE_bool("debug_nans", False, "Stop where the first NaN is made (slow)")
_SWEEP = flags.DEFINE_string("sweep", None, "File of config overrides: one run after the other")
_SWEEP_INDEX = flags.DEFINE_integer("sweep_index", None, "Only this run of the sweep, from 0", 0)


def main() -> int:
    """Runs the task that the config names."""
    requests = Requests(
        workdir=_WORKDIR.value,
        distributed=_DISTRIBUTED.value,
        init_from=_INIT_FROM.value,
        profile_steps=_PROFILE_STEPS.value,
        debug_nans=_DEBUG_NANS.value,
        sweep=_SWEEP.value,
        sweep_index=_SWEEP_INDEX.value,
    )
    return train(config_of(_CONFIG), flags.FLAGS["config"].config_filename, requests)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    start(main, "--workdir=DIR")
