"""Trains a model: python -m experiments.train --config=a2_capture --workdir=DIR.

Stopped by Ctrl-C it keeps the best so far; by SIGTERM it saves and exits with code 75, "start me
again". Started again with the same folder it continues.
"""

from absl import flags
from ml_collections import config_flags

from experiments.run.training import Requests, train
from experiments.terminal.start import start

config_flags.DEFINE_config_file(
    "config", None, "a2_capture, waveflow:64, ..., or a file: the run's configuration"
)
flags.DEFINE_string("workdir", None, "Folder of the run, local or gs://; continued if it exists")
flags.DEFINE_string(
    "distributed", "auto", "auto (Cloud TPU, GKE, Slurm), none, or HOST:PORT,COUNT,INDEX"
)
flags.DEFINE_string(
    "init_from", None, "Begin with the parameters of this run or model folder, where they fit"
)
flags.DEFINE_string("profile_steps", None, "FIRST:LAST, write a trace of these steps")
flags.DEFINE_bool("debug_nans", False, "Stop where the first NaN is made (slow)")
flags.DEFINE_string("sweep", None, "File of config overrides: one run after the other")
flags.DEFINE_integer("sweep_index", None, "Only this run of the sweep, from 0", 0)

if __name__ == "__main__":
    start(train, "--workdir=DIR", Requests)
