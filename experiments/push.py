"""Uploads a release to the Hugging Face hub, as a repository that others load by its address.

    python -m experiments.push --release=RELEASE --repository=USER/NAME

All files of the release become one commit; a repository that is missing is made. README.md is its
model card, in which `load("RELEASE")` names the address. A token that may write is needed:
`hf auth login`, or HF_TOKEN. `wf_jax.export.load("hf://USER/NAME")` then loads it.
"""

from absl import flags

from experiments.releases.push import Push, push
from experiments.terminal.start import start

flags.DEFINE_string("release", None, "Folder of the release")
flags.DEFINE_string("repository", None, "USER/NAME on the hub; made if it is missing")
flags.DEFINE_bool("private", False, "Make a repository that only you can see")

if __name__ == "__main__":
    start(push, "--release=DIR", Push, left="the repository has all of the release, or none of it")
