"""A batch job: every mel of a bucket spoken by all devices of a TPU, with a release.

    python -m experiments.examples.tpu_batch gs://BUCKET/release gs://BUCKET/mels gs://BUCKET/wavs

Started again after it was stopped, it makes what is missing. Started on every host of a slice, each
host takes its share of the files. Folders may be local too.
"""

import io
import sys

import jax
import numpy as np
from etils import epath

from experiments.examples.wav import wav_bytes
from wf_jax.export import ReleaseError, load

CLIPS = 8  # of like length per device and call


def run(release: str, source: str, target: str) -> int:
    """Speaks source/*.npy, [M, F] each, as target/*.wav; returns how many."""
    voice = load(epath.Path(release), devices=jax.local_devices())
    mels, wavs = epath.Path(source), epath.Path(target)
    wavs.mkdir(parents=True, exist_ok=True)
    mine = sorted(mels.glob("*.npy"))[jax.process_index() :: jax.process_count()]
    todo = [path for path in mine if not (wavs / f"{path.stem}.wav").exists()]
    clips = {path.stem: np.load(io.BytesIO(path.read_bytes())) for path in todo}
    names = sorted(clips, key=lambda name: clips[name].shape[1])
    size = CLIPS * jax.local_device_count()
    for first in range(0, len(names), size):
        batch = names[first : first + size]
        frames = [clips[name].shape[1] for name in batch]
        frames += [1] * (size - len(batch))  # always as many rows: one program for a length
        mel = np.zeros((size, voice.manifest.vocoder.bands, max(frames)), np.float32)
        for row, name in zip(mel, batch, strict=False):
            row[:, : clips[name].shape[1]] = clips[name]
        audio = voice.synthesize(mel, jax.random.key(first), frames=np.array(frames))
        for name, count, row in zip(batch, frames, audio, strict=False):
            data = wav_bytes(row[: count * voice.hop], voice.sample_rate)
            (wavs / f"{name}.wav").write_bytes(data)
    return len(names)


if __name__ == "__main__":
    try:
        print(f"{run(*sys.argv[1:4])} clips")
    except ReleaseError as error:
        sys.exit(str(error))
