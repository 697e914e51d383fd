"""Runs killed and terminated at random and restarted on other devices, as a table.

    python -m tests.training.chaos [RUNS_OF_EACH_KIND]

Every run must reach its last step: with the bits of an uninterrupted run if all sessions had one
layout, else with the same losses to 1e-5. It may lose only unsaved steps.
"""

import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tests.training.processes import curve, finish, launch, records, wait_for_steps
from tests.training.toy import ToyTask
from wf_jax.modules import split
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.fingerprints import fingerprints
from wf_jax.training.optimizers import make_optimizer
from wf_jax.training.state import create_state

EPOCHS, INTERVAL = 60, 20  # of 5 steps; steps between checkpoints
LAYOUTS = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2))  # processes, devices in each


def last_state(workdir: Path) -> dict[str, int]:
    """Returns fingerprints of all arrays of the last checkpoint."""
    task = ToyTask()
    params = split(task.init())[1]
    like = create_state(
        params, make_optimizer("adam", task.axes_of), task.best_metrics, task.models
    )
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        restored = checkpoints.restore(jax.tree.map(jnp.asarray, like))
    assert restored.step == 5 * EPOCHS
    return fingerprints(restored.state)


def one(folder: Path, kind: str, choose: random.Random, whole: dict) -> dict:
    """Runs one that is stopped once or twice; returns what happened and whether all is well."""
    sessions, lost, complaints = [], 0, ""
    for _ in range(choose.choice([1, 1, 2])):
        layout = choose.choice([x for x in LAYOUTS if x[0] == 2 or kind == "SIGKILL"])
        run = launch(folder, *layout, pause=0.02, epochs=EPOCHS, interval=INTERVAL)
        start = records(folder)[-1]["step"] if records(folder) else 0
        if start + 10 < 5 * EPOCHS:
            wait_for_steps(folder, start + 5, run)
        time.sleep(choose.uniform(0, 3))
        victims = run if kind == "SIGKILL" and choose.random() < 0.5 else [choose.choice(run)]
        for process in victims:
            process.send_signal(getattr(signal, kind))
        codes, _, _ = finish(run)
        reached = records(folder)[-1]["step"]
        sessions.append((*layout, f"{sorted(codes)} at {reached}"))
    same = choose.random() < 0.5 and len({x[:2] for x in sessions}) == 1
    layout = sessions[0][:2] if same else choose.choice(LAYOUTS)
    codes, _, complaints = finish(launch(folder, *layout, epochs=EPOCHS, interval=INTERVAL))
    resumed = re.search(r"continuing at step (\d+)", complaints)
    lost = reached - int(resumed[1]) if resumed else reached
    sessions.append((*layout, f"{sorted(codes)}"))
    same = len({x[:2] for x in sessions}) == 1
    ours, theirs = curve(folder), curve(whole[layout])
    fine = ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-5)
    if same:
        fine = fine and last_state(folder) == last_state(whole[layout])
    return {"sessions": sessions, "lost": lost, "same": same, "fine": fine and not any(codes)}


def main() -> None:
    """Prints the table; exits with 1 where something is lost."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    choose, bad = random.Random(0), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder, whole = Path(temporary), {}
        for layout in LAYOUTS:
            whole[layout] = folder / f"whole{layout}"
            finish(launch(whole[layout], *layout, epochs=EPOCHS, interval=INTERVAL))
        for number in range(2 * count):
            kind = "SIGKILL" if number < count else "SIGTERM"
            found = one(folder / str(number), kind, choose, whole)
            told = "; ".join(f"{p} x {d} {what}" for p, d, what in found["sessions"])
            judged = "the same bits" if found["same"] else "losses to 1e-5"
            verdict = judged if found["fine"] else f"WRONG: not {judged}"
            bad += not found["fine"]
            print(f"{number + 1:3} {kind} {told}; lost {found['lost']}; {verdict}", flush=True)
    print(f"{2 * count - bad} of {2 * count} runs came to the same end")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
