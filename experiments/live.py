"""Play a guitar through a .nam model: python -m experiments.live --model=amp.nam.

The sound system is PortAudio, through the package sounddevice (extra `live`). While it plays, the
path of another model and Enter change to it without a gap; Enter alone, or Ctrl-C, ends. A block of
64 samples at 48 kHz is 1.3 ms; an interface adds its own latency. xruns are blocks that were lost.
"""

from absl import flags

from experiments.playing.live import Connection, live
from experiments.terminal.start import start

flags.DEFINE_string("model", None, "The .nam file")
flags.DEFINE_float("slim", 1.0, "Size of a model that has several: 0 smallest, 1 largest", 0.0, 1.0)
flags.DEFINE_string("input_device", None, "Number or part of the name; the system's own")
flags.DEFINE_string("output_device", None, "Number or part of the name; the system's own")
flags.DEFINE_integer("channel", 1, "Which channel of the input, from 1", 1)
flags.DEFINE_integer("block", 64, "Samples per block", 1, 8192)
flags.DEFINE_bool("devices", False, "List the devices and end")

if __name__ == "__main__":
    start(live, "--model=amp.nam", Connection)
