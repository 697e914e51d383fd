"""Writes a model as one ONNX file, for programs without Python or JAX.

    python -m experiments.export_onnx --model=WORKDIR|FOLDER --output=DIR --frames=128
    python -m experiments.export_onnx --model=amp.nam --output=amp.onnx --block=64

A vocoder (WaveFlow or WaveGlow) becomes mel [1, M, F], noise [1, F * hop] (standard normal) and
temperature [] -> audio [1, F * hop]; an amp becomes state [1, S] and x [1, N] -> new_state and y,
and a second file, .state.npy, its first state: that after endless silence. All sizes are fixed, all
numbers float32. The results of onnxruntime are compared with JAX before anything is written.

It needs jax2onnx, in an environment of its own: see experiments/onnx_export/requirements.txt.
"""

from absl import flags

from experiments.onnx_export.writing import export_onnx
from experiments.terminal.start import start

flags.DEFINE_string("model", None, "Folder of a run or a converted model, or a .nam file")
flags.DEFINE_string("output", None, "The .onnx file to write, or a folder for it")
flags.DEFINE_integer("frames", 128, "Mel frames that a vocoder synthesizes at once", 1)
flags.DEFINE_integer("block", 64, "Samples that an amp plays at once", 1)
flags.DEFINE_float("slim", 1.0, "Size of an amp that has several: 0 smallest, 1 largest", 0.0, 1.0)

if __name__ == "__main__":
    start(export_onnx, "--output=DIR")
