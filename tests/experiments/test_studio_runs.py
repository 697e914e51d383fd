"""Trainings of Studio: they outlive it, stop and go on, also in the terminal."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from experiments.run.json_files import read_table
from experiments.studio.states import is_alive
from tests.amps.nam_examples import EXAMPLES
from tests.experiments.studio_process import (
    ROOT,
    SMALL,
    ended,
    kill,
    state,
    studio_process,
    tiny,
    until,
)
from tests.experiments.studio_server import X, wav
from wf_jax.amps import load_nam

pytestmark = pytest.mark.slow


def test_trainings_outlive_the_server(tmp_path):
    """One trains and one waits when the server is killed; after its next start both are there."""
    with studio_process(tmp_path) as (client, server):
        ids = []
        for name in ("Größe é ñ", "ギター"):
            begin = tiny(client)
            request = {"input": "demo", "init_from": begin, "name": name, "options": SMALL}
            status, job = client.json("POST", "/capture", request)
            assert status == 201, job
            ids.append(job["id"])
        assert [state(client, id)["state"] for id in ids] == ["running", "waiting"]
        until(lambda: (tmp_path / "runs" / ids[0] / "lock").exists())
        kill(server.pid)
        server.wait(30)
    with studio_process(tmp_path) as (client, _):
        assert [state(client, id)["name"] for id in ids] == ["Größe é ñ", "ギター"]
        for id in ids:
            done = ended(client, id)
            assert (done["state"], done["step"]) == ("finished", 6), done["log"]
            assert done["results"] == ["model.nam", "report.html"]
            assert done["samples"] == ["DI.wav", "target.wav", "wavenet.wav"]
            status, _, content = client.ask("GET", f"/capture/{id}/model.nam")
            assert status == 200
            (tmp_path / "a.nam").write_bytes(content)
            y = np.asarray(load_nam(tmp_path / "a.nam")(np.ones((1, 64), np.float32)))
            assert np.isfinite(y).all()


def test_stop_continue_kill_continue_here_and_in_the_terminal(tmp_path):
    many = SMALL | {"train.steps": 100_000}
    with studio_process(tmp_path) as (client, _):
        teacher = client.send("Verstärker ü.nam", json.dumps(EXAMPLES["gated"]()).encode())["id"]
        noise = 0.1 * np.random.default_rng(0).normal(size=20 * 48000)
        di = client.send("Übung.wav", wav(noise))["id"]  # 11 s to train on: epochs of 17 steps
        request = {"teacher": teacher, "input": di, "init_from": tiny(client), "options": many}
        _, job = client.json("POST", "/capture", request)
        id, folder = job["id"], tmp_path / "runs" / job["id"]
        assert job["name"] == "Verstärker ü"
        until(lambda: "step 1" in state(client, id)["log"])
        assert "stop it first" in client.json("DELETE", f"/capture/{id}")[1]["error"]
        client.json("POST", f"/capture/{id}/stop")
        stopped = ended(client, id)
        assert stopped["state"] == "stopped", stopped["log"]
        assert "model.nam" in stopped["results"]
        _, _, report = client.ask("GET", f"/capture/{id}/report.html")
        assert "Verstärker ü.nam".encode() in report
        assert teacher.encode() not in report

        client.json("POST", f"/capture/{id}/continue", {})
        more = until(lambda: (s := state(client, id))["step"] > stopped["step"] and s)
        assert more["state"] == "running"
        kill(read_table(folder / "studio.json")["process"])
        killed = ended(client, id)
        assert killed["state"] in ("interrupted", "stopped")

        command = [sys.executable, "-m", "experiments.train", "--config=a2_capture"]
        steps = killed["step"] + 4
        options = {**SMALL, "train.steps": steps, "train.samples_every": 1}
        options["data.teacher"] = next((tmp_path / "files" / teacher).glob("*.nam"))
        options["data.input"] = next((tmp_path / "files" / di).glob("*.wav"))
        options["init_from"] = next((tmp_path / "files" / request["init_from"]).glob("*.nam"))
        flags = [f"--config.{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            [*command, f"--workdir={folder}", *flags], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert state(client, id)["state"] == "finished"
        client.json("POST", f"/capture/{id}/continue", {"steps": 2})
        again = ended(client, id)
        assert (again["state"], again["step"]) == ("finished", steps + 2), again["log"]
        assert client.ask("DELETE", f"/capture/{id}")[0] == 200
        assert not folder.exists()


def test_a_pair_that_cannot_be_trained_on_says_why(tmp_path):
    with studio_process(tmp_path) as (client, _):
        ids = [client.send(name, wav(x))["id"] for name, x in (("ä.wav", X), ("ß.wav", 0 * X))]
        request = {"input": ids[0], "output": ids[1], "options": SMALL}
        _, job = client.json("POST", "/capture", request)
        failed = ended(client, job["id"])
        assert failed["state"] == "failed"
        assert ".wav" in failed["error"]
        assert not any(id in failed["log"] + failed["error"] for id in ids)
        assert client.ask("DELETE", f"/capture/{job['id']}")[0] == 200


def test_this_file_leaves_no_training_behind(tmp_path):
    with studio_process(tmp_path) as (client, _):
        request = {"input": "demo", "init_from": tiny(client)}
        options = {"options": {"train.steps": 100_000}}
        _, job = client.json("POST", "/capture", request | options)
        folder = tmp_path / "runs" / job["id"]
        assert is_alive(folder)
    assert until(lambda: not is_alive(folder), seconds=10)
