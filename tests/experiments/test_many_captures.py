"""Many captures with one command: each as alone, and a bad file stops no other."""

import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import soundfile

from data_pipeline.synthetic import demo_pair
from experiments.accelerator.amps import new_a2
from experiments.capture import batch
from experiments.capture.batch import train_captures
from experiments.capture.members import members_of
from experiments.configs.a2_capture import get_config
from experiments.run.exit_codes import AGAIN, INTERRUPTED, PARTIAL
from experiments.run.lock import FolderLock
from experiments.run.same_run import has_begun
from tests.experiments.test_train import run as command
from wf_jax.amps.capture import CaptureAudio, CaptureTask, together
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError
from wf_jax.training.loop import DivergedError, train
from wf_jax.training.schedule import Schedule
from wf_jax.training.settings import Session, Settings

RATE = 48_000


@pytest.fixture(scope="module")
def signals():
    return demo_pair(4.0)


def write(path, samples, rate=RATE, subtype="PCM_24"):
    soundfile.write(path, samples, rate, subtype=subtype)


def faulty(folder, amp):
    """Writes six files with a fault each; returns by name what the reason must hold."""
    broken = amp.copy()
    broken[9000:9010] = np.nan
    write(folder / "rate.wav", amp, 44100)
    write(folder / "clipped.wav", np.clip(8 * amp, -1, 1))
    write(folder / "silent.wav", 0 * amp)
    write(folder / "nan.wav", broken, subtype="FLOAT")
    write(folder / "short.wav", amp[:9000])
    write(folder / "whole.wav", amp)
    (folder / "corrupt.wav").write_bytes((folder / "whole.wav").read_bytes()[:3000])
    (folder / "whole.wav").unlink()
    return {
        "rate": "44100 Hz",
        "clipped": "is clipped",
        "silent": "is silent",
        "nan": "10 samples are not numbers",
        "short": "9000 samples are no recording",
        "corrupt": "is truncated",
    }


@pytest.fixture
def config(signals, tmp_path):
    """Two good recordings and two faulty ones over one DI; a model of 8 taps, two epochs."""
    di, amp = signals
    wet = tmp_path / "wet"
    wet.mkdir()
    write(tmp_path / "di.wav", di)
    write(wet / "a.wav", amp)
    write(wet / "late.wav", np.pad(amp, (40, 0))[: len(amp)])
    write(wet / "silent.wav", 0 * amp)
    (wet / "text.wav").write_text("no audio")
    linear = {"architecture": "Linear", "config": {"receptive_field": 8, "bias": False}}
    (tmp_path / "linear.json").write_text(json.dumps(linear))
    config = get_config()
    config.data.input, config.data.output = str(tmp_path / "di.wav"), str(wet)
    config.data.validation_seconds, config.model.nam = 1.0, str(tmp_path / "linear.json")
    config.train.batch_size, config.train.window, config.train.epochs = 2, 4096, 2
    config.train.optimizer = "adam"  # compiles sooner
    return config


@pytest.fixture
def place(tmp_path):
    return tmp_path / "runs"


def rows(place):
    with (place / "captures.csv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def again(config, place):
    return train_captures(config, place, Session())


@pytest.fixture
def trained(config, place):
    assert again(config, place) == PARTIAL
    return place


def test_good_files_become_models_and_bad_ones_a_line_each(trained, capsys):
    said = rows(trained)
    assert {name: row["state"] for name, row in said.items()} == {
        "a": "finished",
        "late": "finished",
        "silent": "refused",
        "text": "refused",
    }
    assert (said["a"]["latency_samples"], said["late"]["latency_samples"]) == ("95", "135")
    for name in ("a", "late"):
        metrics = json.loads((trained / name / "metrics.json").read_text())
        assert float(said[name]["esr_linear"]) == pytest.approx(metrics["esr"]["linear"], rel=1e-5)
        assert float(said[name]["linear_esr"]) == pytest.approx(metrics["linear_esr"], rel=1e-5)
        assert read_nam(trained / name / "model.nam").metadata["name"] == name
    for name, fault in (("silent", "is silent"), ("text", "can not be read as audio")):
        assert fault in said[name]["reason"]
        assert "\n" not in said[name]["reason"]
        assert "; " in said[name]["reason"]  # the remedy
        assert not (trained / name).exists()
    page = (trained / "overview.html").read_text()
    links = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert {"a/report.html", "late/preview/error.png", "a/preview/model.flac"} <= links
    assert all((trained / link).exists() for link in links)
    assert "2 finished, 2 refused" in page


@pytest.mark.slow
def test_the_same_command_trains_what_is_not_done(config, trained, monkeypatch, capsys):
    taken = []

    def attempt(job, folder, session):
        taken.append(folder.name)
        return before(job, folder, session)

    before = batch._attempt
    monkeypatch.setattr(batch, "_attempt", attempt)
    assert again(config, trained) == PARTIAL
    assert taken == []
    assert rows(trained)["a"]["state"] == "finished"
    # A file that was mended, and one that was changed, are done again.
    amp, _ = soundfile.read(f"{config.data.output}/a.wav")
    write(f"{config.data.output}/a.wav", 0.5 * amp)
    write(f"{config.data.output}/silent.wav", -amp)
    old = (trained / "late" / "model.nam").read_bytes()
    assert again(config, trained) == PARTIAL
    assert taken == ["a", "silent"]
    assert rows(trained)["silent"]["state"] == "finished"
    assert (trained / "late" / "model.nam").read_bytes() == old
    assert "changed since it was captured" in capsys.readouterr().out


@pytest.mark.slow
def test_a_bad_file_in_the_place_of_a_good_one_leaves_its_model(config, trained):
    (trained.parent / "wet" / "a.wav").write_text("no audio")
    assert again(config, trained) == PARTIAL
    assert rows(trained)["a"]["state"] == "refused"
    assert (trained / "a" / "model.nam").exists()


@pytest.mark.slow
@pytest.mark.parametrize("code", [AGAIN, INTERRUPTED])
def test_a_signal_ends_all_and_keeps_what_is_done(config, place, monkeypatch, code):
    before = batch._attempt

    def attempt(job, folder, session):
        return (code, "", False) if folder.name == "late" else before(job, folder, session)

    monkeypatch.setattr(batch, "_attempt", attempt)
    assert again(config, place) == code
    states = {name: row["state"] for name, row in rows(place).items()}
    assert (states["a"], states["late"]) == ("finished", "waiting")
    monkeypatch.undo()
    assert again(config, place) == PARTIAL
    assert rows(place)["late"]["state"] == "finished"


@pytest.mark.slow
def test_one_that_diverges_begins_again_with_a_smaller_rate(config, place, monkeypatch):
    rates, before = [], batch.execute

    def execute(job, folder, session):
        rates.append(job.config.recipe()[0])
        if folder.shared.name == "a" or len(rates) == 4:
            raise DivergedError("the training diverged at step 3 (noise): lower the rate")
        return before(job, folder, session)

    monkeypatch.setattr(batch, "execute", execute)
    assert again(config, place) == PARTIAL
    assert rates == [0.004, 0.001, 0.00025, 0.004, 0.001]
    assert rows(place)["a"]["reason"].startswith("the training diverged at step 3")
    assert rows(place)["late"]["state"] == "finished"
    monkeypatch.setattr(batch, "execute", before)
    rates.clear()
    again(config, place)
    assert rows(place)["a"]["state"] == "finished"


def test_only_bad_files_are_a_failure(config, place):
    for name in ("a", "late"):
        shutil.copy(f"{config.data.output}/text.wav", f"{config.data.output}/{name}.wav")
    assert again(config, place) == 1


@pytest.mark.slow
def test_what_another_process_has_is_left_to_it(config, place):
    (place / "a").mkdir(parents=True)
    lock = FolderLock(place / "a")
    assert again(config, place) == PARTIAL
    assert rows(place)["a"]["state"] == "elsewhere"
    assert not has_begun(place / "a")
    lock.release()


@pytest.mark.slow
def test_a_manifest_has_a_line_and_metadata_for_each(config, place):
    wet = config.data.output
    manifest = place.parent / "list.csv"
    manifest.write_text(
        "name,output,latency,gear_make,tone_type\n"
        f"Hot lead,{wet}/late.wav,120,Acme,hi_gain\n"
        f"wrong,{wet}/a.wav,,,loud\n"
    )
    config.data.output, config.data.manifest = "", str(manifest)
    config.check()
    assert again(config, place) == PARTIAL
    nam = read_nam(place / "Hot lead" / "model.nam")
    assert nam.metadata["name"] == "Hot lead"
    assert (nam.metadata["gear_make"], nam.metadata["tone_type"]) == ("Acme", "hi_gain")
    assert nam.metadata["training"]["data"]["latency"]["manual"] == 120
    assert "tone_type=loud is none of" in rows(place)["wrong"]["reason"]


@pytest.mark.slow
def test_a_manifest_of_chains_and_our_playing(config, place):
    document = {"version": "0.5.4", "architecture": "Linear", "weights": [0.5, 0.1, 0.0]}
    document |= {"config": {"receptive_field": 2, "bias": True}, "sample_rate": RATE}
    for name in ("pedal", "amp"):
        (place.parent / f"{name}.nam").write_text(json.dumps(document))
    manifest = place.parent / "list.csv"
    manifest.write_text('teacher,input\n"pedal.nam,amp.nam",di.wav\nnone.nam,demo\n')
    config.data.input, config.data.output, config.data.manifest = "demo", "", str(manifest)
    assert again(config, place) == PARTIAL
    made = read_nam(place / "pedal+amp" / "model.nam").metadata["converted_from"]
    assert [file["file"] for file in made["files"]] == ["pedal.nam", "amp.nam"]
    assert "none.nam: cannot be read: No such file" in rows(place)["none"]["reason"]


def test_recordings_over_the_built_in_pair_are_refused(config, place):
    config.data.input = "demo"
    said = "--config.data.input=demo: the built-in pair has a recording of its own; name the DI"
    with pytest.raises(UserError, match=said):
        config.check()
    manifest = place.parent / "list.csv"
    manifest.write_text("output\nwet/a.wav\n")
    config.data.output, config.data.manifest = "", str(manifest)
    with pytest.raises(UserError, match=said):
        config.check()
    manifest.write_text("output,input\nwet/a.wav,di.wav\nwet/late.wav,built-in\n")
    good, bad = members_of(config)
    assert good.fault == ""
    assert bad.fault.startswith("input=built-in: for teachers, and ")


@pytest.mark.slow
def test_a_folder_of_models_is_a_folder_of_teachers(config, place, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    document = {"version": "0.5.4", "architecture": "Linear", "weights": [0.5, 0.1, 0.0]}
    document |= {"config": {"receptive_field": 2, "bias": True}, "sample_rate": RATE}
    for name in ("x", "y"):
        (folder / f"{name}.nam").write_text(json.dumps(document))
    (folder / "z.nam").write_text("{}")
    config.data.output, config.data.teacher = "", str(folder)
    config.check()
    assert again(config, place) == PARTIAL
    assert {name: row["state"] for name, row in rows(place).items()} == {
        "x": "finished",
        "y": "finished",
        "z": "refused",
    }
    assert read_nam(place / "x" / "model.nam").metadata["converted_from"]["files"][0]["file"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data.teacher": "old"}, "output and --config.data.teacher exclude each other; give one"),
        ({"data.manifest": "list.csv"}, "--config.data.manifest and --config.data.output exclude"),
        ({"metadata.name": "Amp"}, "--config.metadata.name=Amp: one name for many captures"),
        ({"data.input": ""}, "--config.data.input is missing; name the DI of the recordings"),
        ({"data.input": "none.wav"}, "none.wav: no such file"),
    ],
)
def test_options_that_do_not_go_together(config, options, said):
    for name, value in options.items():
        group, _, option = name.partition(".")
        setattr(getattr(config, group), option, value)
    with pytest.raises(UserError) as error:
        config.check()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


# Together in one program


def audio_of(seed):
    """A capture of a guitar through an amp of its own; its latency makes both parts shorter."""
    n, lost = 8 * 256 + 700, 3 * seed
    x = demo_pair(1.0)[0].astype(np.float32)[None, -2 * n :]
    y = np.tanh((4 + 4 * seed) * x)
    y = (0.126 * y / y.std()).astype(np.float32)
    return CaptureAudio(
        x[:, : n - lost], y[:, : n - lost], x[:, n : 2 * n - lost], y[:, n : 2 * n - lost]
    )


def task_of(audio):
    models = {"small": new_a2("nano", layers=2), "large": new_a2("standard", layers=2)}
    task = CaptureTask(audio, models=models, batch_size=2, window=256)
    task.evaluate_every = 1
    return task


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "rate", "tolerance"),
    [
        ("adam", 0.004, 1e-5),
        ("soap", 0.009, 1e-4),  # its bases magnify rounding, tenfold in the first ten steps
    ],
)
def test_eight_captures_together_learn_as_each_alone(tmp_path, optimizer, rate, tolerance):
    tasks = [task_of(audio_of(seed)) for seed in range(8)]
    assert len({task.resident["input"].shape for task in tasks}) == 1
    warming = Schedule(warmup=0.9, hold=0.95)
    settings = Settings(optimizer=optimizer, steps=30, learning_rate=rate, schedule=warming)
    result = train(together(tasks), settings, tmp_path / "together")
    for i in (0, 3, 7):
        alone, own = train(tasks[i], settings, tmp_path / f"alone {i}"), result.of(i)
        for name in ("loss/small", "loss/large"):
            first = ([record[name] for record in r.history[:10]] for r in (own, alone))
            np.testing.assert_allclose(*first, rtol=tolerance, err_msg=name)
        for name, value in alone.metrics.items():
            np.testing.assert_allclose(own.metrics[name], value, rtol=1e-2)
            assert value < alone.history[0][name]
        assert own.models["small"].config == alone.models["small"].config


@pytest.mark.slow
def test_one_that_diverges_leaves_its_neighbors_alone(tmp_path):
    tasks = [task_of(audio_of(seed)) for seed in range(3)]
    huge = dataclasses.replace(audio_of(1), output_train=1e30 * audio_of(1).output_train)
    settings = Settings(steps=8, learning_rate=0.005, clip_norm=1.0)
    fine = train(together(tasks), settings, tmp_path / "fine")
    broken = train(together([tasks[0], task_of(huge), tasks[2]]), settings, tmp_path / "broken")
    assert broken.finished
    assert broken.sound.tolist() == [True, False, True]
    assert not broken.diverged
    for i in (0, 2):
        for name in fine.metrics:
            np.testing.assert_array_equal(broken.metrics[name][i], fine.metrics[name][i])
    assert np.isfinite([record["esr/small"] for record in broken.history]).all()


@pytest.mark.slow
def test_a_wave_writes_each_capture_as_if_it_were_alone(config, place, monkeypatch):
    assert again(config, place / "alone") == PARTIAL
    config.train.captures_at_once = 2
    assert again(config, place / "wave") == PARTIAL
    assert not (place / "wave" / ".waves").exists()
    for name in ("a", "late"):
        files = [{p.name for p in (place / kind / name).iterdir()} for kind in ("alone", "wave")]
        assert files[0] - files[1] == {"checkpoints"}
        one, other = (read_nam(place / kind / name / "model.nam") for kind in ("alone", "wave"))
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-4)
    assert rows(place / "wave")["late"]["latency_samples"] == "135"
    monkeypatch.setattr(batch, "_attempt", None)  # nothing is left to do
    assert again(config, place / "wave") == PARTIAL


@pytest.mark.slow
def test_an_interrupted_wave_goes_on_as_it_was(config, place, monkeypatch, capsys):
    config.train.captures_at_once = 2
    written, before = [], batch.MemberJob.finish

    def finish(job, folder, result):
        if written:
            raise KeyboardInterrupt
        written.append(folder.name)
        before(job, folder, result)

    monkeypatch.setattr(batch.MemberJob, "finish", finish)
    with pytest.raises(KeyboardInterrupt):
        again(config, place)
    assert (place / written[0] / "model.nam").exists()
    monkeypatch.undo()
    capsys.readouterr()
    assert again(config, place) == PARTIAL
    assert "together: a, late" in capsys.readouterr().out
    assert {row["state"] for row in rows(place).values()} == {"finished", "refused"}
    assert not (place / ".waves").exists()


# As a command


@pytest.mark.slow
def test_eighteen_of_twenty_four(config, signals, place):
    amp = signals[1]
    wet = place.parent / "wet"
    for path in wet.iterdir():
        path.unlink()
    faults = faulty(wet, amp)
    for i in range(18):
        write(wet / f"amp {i:02d}.wav", (1 - i / 40) * amp)
    manifest = place.parent / "list.csv"
    lines = [f"wet/{path.name},{path.stem},di.wav" for path in sorted(wet.iterdir())]
    manifest.write_text("\n".join(["output,name,input", *lines]) + "\n")
    options = {
        "data.manifest": manifest,
        "data.validation_seconds": 1,
        "model.nam": config.model.nam,
        "train.batch_size": 2,
        "train.window": 4096,
        "train.epochs": 2,
        "train.optimizer": "adam",
    }
    given = [f"--config.{name}={value}" for name, value in options.items()]
    result = command("train", "--config=a2_capture", f"--workdir={place}", *given)
    assert result.returncode == PARTIAL, result.stderr
    said = rows(place)
    assert len(said) == 24
    assert len(list(place.glob("*/model.nam"))) == 18
    for name, fault in faults.items():
        assert fault in said[name]["reason"]
        assert said[name]["reason"] in result.stdout
    assert "18 of 24 captures made, 6 failed" in result.stdout
    assert "Traceback" not in result.stderr
