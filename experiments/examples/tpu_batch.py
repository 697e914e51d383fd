"""A batch job: all devices of a TPU synthesize every mel of a bucket, with a release.

    python -m experiments.examples.tpu_batch gs://BUCKET/release gs://BUCKET/mels gs://BUCKET/wavs

Needs etils (for gs:// also gcsfs) beside what wf_jax.export needs. Started again after it was
stopped, it makes what is missing; a clip's audio depends on its mel and its name alone. Started on
every host of a slice, each takes its share of the files. Folders may be local too.
"""

import io
import sys
import zlib

import jax
import numpy as np
from etils import epath

from experiments.examples.wav import wav_bytes
from wf_jax.errors import UserError
from wf_jax.export import Vocoder, load

CLIPS = 8  # of like length per device and call


def run(release: str, source: str, target: str) -> int:
    """Synthesizes source/*.npy, [M, F] each, to target/*.wav; returns the number of files."""
    vocoder = load(epath.Path(release), devices=jax.local_devices())
    if not isinstance(vocoder, Vocoder):
        raise UserError(f"{release}: an amp, which speaks no mels; name a vocoder's release")
    wavs = epath.Path(target)
    wavs.mkdir(parents=True, exist_ok=True)
    mine = sorted(epath.Path(source).glob("*.npy"))[jax.process_index() :: jax.process_count()]
    todo = [path for path in mine if not (wavs / f"{path.stem}.wav").exists()]
    todo.sort(key=lambda path: path.stat().length)
    size = CLIPS * jax.local_device_count()
    for first in range(0, len(todo), size):
        batch = todo[first : first + size]
        mels = [np.load(io.BytesIO(path.read_bytes())) for path in batch]
        for path, one in zip(batch, mels, strict=True):
            if one.ndim != 2 or len(one) != vocoder.manifest.vocoder.bands:
                raise UserError(f"{path}: {list(one.shape)} is not the mel of this release")
        frames = [one.shape[1] for one in mels] + [1] * (size - len(batch))
        mel = np.zeros((size, vocoder.manifest.vocoder.bands, max(frames)), np.float32)
        for row, one in zip(mel, mels, strict=False):  # always as many rows: one program
            row[:, : one.shape[1]] = one
        names = [path.stem for path in batch] + [""] * (size - len(batch))
        keys = jax.vmap(jax.random.key)(np.array([zlib.crc32(n.encode()) for n in names], "u4"))
        audio = vocoder.synthesize(mel, keys, frames=np.array(frames))
        for path, count, row in zip(batch, frames, audio, strict=False):
            part = wavs / f"{path.stem}.part"
            part.write_bytes(wav_bytes(row[: count * vocoder.hop], vocoder.sample_rate))
            part.rename(wavs / f"{path.stem}.wav")
    return len(todo)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m experiments.examples.tpu_batch RELEASE MELS WAVS")
    try:
        print(f"{run(*sys.argv[1:4])} clips")
    except (OSError, ValueError) as error:
        sys.exit(str(error))
