"""Opens Studio, a page to capture, play and speak with: python -m experiments.studio.

    python -m experiments.studio --folder=studio --port=8420
    python -m experiments.studio --host=0.0.0.0 --voices=releases/lj

Everything that is dropped or trained is in --folder, and the token without which nobody is let in,
also no other user of this machine: the printed address holds it, and the browser keeps it. The page
is for this machine alone, until another --host is given. Trainings go on when the page or this
program is closed. The same address serves programs: see /api.
"""

from absl import flags

from experiments.studio.serving import Options, serve
from experiments.terminal.start import start

text = flags.DEFINE_string
text("folder", "studio", "Folder of all files and runs; made if it is missing")
text("host", "127.0.0.1", "Address to listen on; 0.0.0.0: of every network")
flags.DEFINE_integer("port", 8420, "Port to listen on; 0: any that is free", 0, 65535)
text("token", None, "The word that visitors need; left out, the one in --folder")
flags.DEFINE_integer("limit", 1000, "Megabytes that may be sent at once", 1, 1_000_000)
flags.DEFINE_list("voices", [], "Folders of vocoders or their releases, beside those in --folder")
flags.DEFINE_bool("open", True, "Open the page in a browser, if it is for this machine")

if __name__ == "__main__":
    left = "trainings go on; start it again to see them"
    start(serve, "--folder=studio", Options, left, interrupted=0)  # it ends in no other way
