"""Many captures with one command: each as alone, and a bad file stops no other."""

import csv
import dataclasses
import errno
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import soundfile

from data_pipeline.synthetic_pair import demo_pair
from experiments.accelerator.amps import new_a2
from experiments.capture import many_captures, wave
from experiments.capture.many_captures import train_captures
from experiments.capture.members import members_of
from experiments.capture.outcomes import Outcomes
from experiments.configs.a2_capture import get_config
from experiments.run.lock import FolderLock, LockedError
from experiments.terminal.exit_codes import AGAIN, INTERRUPTED, PARTIAL
from tests.experiments.test_train import run as command
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask, together
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError
from wf_jax.platforms import chosen
from wf_jax.training.dispatch import Dispatcher
from wf_jax.training.loop import DivergedError, train
from wf_jax.training.metrics import read_records
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


def all_said(capsys):
    return "".join(capsys.readouterr())


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
    taken, before = [], many_captures.execute

    def execute(job, folder, session):
        taken.append(folder.shared.name)
        return before(job, folder, session)

    monkeypatch.setattr(many_captures, "execute", execute)
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
    before = many_captures.execute
    stopped = SimpleNamespace(again=code == AGAIN, diverged=False, finished=False)

    def execute(job, folder, session):
        return stopped if folder.shared.name == "late" else before(job, folder, session)

    monkeypatch.setattr(many_captures, "execute", execute)
    assert again(config, place) == code
    states = {name: row["state"] for name, row in rows(place).items()}
    assert (states["a"], states["late"]) == ("finished", "waiting")
    monkeypatch.undo()
    assert again(config, place) == PARTIAL
    assert rows(place)["late"]["state"] == "finished"


@pytest.mark.slow
def test_one_that_diverges_begins_again_with_a_smaller_rate(config, place, monkeypatch):
    rates, before = [], many_captures.execute

    def execute(job, folder, session):
        rates.append(job.config.recipe()[0])
        if folder.shared.name == "a" or len(rates) == 4:
            raise DivergedError("the training diverged at step 3 (noise): lower the rate")
        return before(job, folder, session)

    monkeypatch.setattr(many_captures, "execute", execute)
    assert again(config, place) == PARTIAL
    assert rates == [0.004, 0.001, 0.00025, 0.004, 0.001]
    assert rows(place)["a"]["reason"].startswith("the training diverged at step 3")
    assert rows(place)["late"]["state"] == "finished"
    rates.clear()
    monkeypatch.setattr(many_captures, "execute", before)
    again(config, place)
    assert rows(place)["a"]["state"] == "finished"
    # One that needed a smaller rate is done; one whose rate was changed is not.
    late = place / "late" / "config.json"
    assert json.loads(late.read_text())["train.learning_rate"] == 0.001
    monkeypatch.setattr(many_captures, "execute", execute)
    assert again(config, place) == PARTIAL
    assert rates == []
    config.train.learning_rate = 0.003
    assert again(config, place) == PARTIAL
    np.testing.assert_allclose(rates, [0.003, 0.00075, 0.0001875, 0.003, 0.00075])


def test_only_bad_files_are_a_failure(config, place):
    for name in ("a", "late"):
        shutil.copy(f"{config.data.output}/text.wav", f"{config.data.output}/{name}.wav")
    assert again(config, place) == 1


def mended(config):
    """Leaves the two good recordings alone."""
    for name in ("silent", "text"):
        Path(config.data.output, f"{name}.wav").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 2])
def test_what_another_process_has_is_left_to_it(config, place, together):
    mended(config)
    config.train.captures_at_once = together
    (place / "a").mkdir(parents=True)
    lock = FolderLock(place / "a")
    assert again(config, place) == PARTIAL
    assert {name: row["state"] for name, row in rows(place).items()} == {
        "a": "elsewhere",
        "late": "finished",
    }
    assert [path.name for path in (place / "a").iterdir()] == ["lock"]
    lock.release()
    assert again(config, place) == 0


@pytest.mark.slow
def test_what_another_process_had_is_looked_at_again(config, place, monkeypatch):
    mended(config)
    (place / "a").mkdir(parents=True)
    lock, before = FolderLock(place / "a"), many_captures.execute

    def execute(job, folder, session):
        lock.release()  # while the other one is trained
        return before(job, folder, session)

    monkeypatch.setattr(many_captures, "execute", execute)
    assert again(config, place) == 0
    assert rows(place)["a"]["state"] == "finished"


@pytest.mark.slow
def test_a_folder_is_locked_before_anything_is_done_with_it(config, trained, monkeypatch):
    amp, _ = soundfile.read(f"{config.data.output}/a.wav")
    write(f"{config.data.output}/a.wav", 0.5 * amp)
    held, before = [], Outcomes.examine

    def examine(outcomes):
        found = before(outcomes)
        held.append(FolderLock(trained / "a"))  # by another process, after the checks
        return found

    monkeypatch.setattr(Outcomes, "examine", examine)
    files = {path: path.stat().st_mtime_ns for path in (trained / "a").rglob("*")}
    files.pop(trained / "a" / "lock")
    assert again(config, trained) == PARTIAL
    assert rows(trained)["a"]["state"] == "elsewhere"
    assert all(path.stat().st_mtime_ns == time for path, time in files.items())
    held[0].release()
    monkeypatch.undo()
    prepared, prepare = [], many_captures.MemberJob.prepare

    def locked(job, folder):
        with pytest.raises(LockedError):
            FolderLock(folder.shared)
        prepared.append(folder.shared.name)
        return prepare(job, folder)

    monkeypatch.setattr(many_captures.MemberJob, "prepare", locked)
    again(config, trained)
    assert prepared == ["a"]


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_the_old_model_stays_until_there_is_another(config, trained, monkeypatch, error):
    amp, _ = soundfile.read(f"{config.data.output}/a.wav")
    write(f"{config.data.output}/a.wav", 0.5 * amp)
    model = trained / "a" / "model.nam"
    old = model.read_bytes()

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("experiments.run.job.train", fail)
    assert again(config, trained) == PARTIAL
    row = rows(trained)["a"]
    assert (row["state"], model.read_bytes()) == ("failed", old)
    assert row["reason"].startswith(("No space left on device; make room", "not enough memory; "))
    monkeypatch.undo()
    assert again(config, trained) == PARTIAL
    assert rows(trained)["a"]["state"] == "finished"
    assert model.read_bytes() != old


def test_errors_of_one_capture_leave_the_others_alone(config, place, monkeypatch):
    mended(config)
    place.mkdir()
    (place / "a").write_text("in the way")
    load = many_captures.CaptureJob.load
    silent = Path(config.data.output, "b.wav")
    shutil.copy(Path(config.data.output, "a.wav"), silent)

    def troubled(job, *args, **kwargs):
        if job.config.data.output == str(silent):
            raise MemoryError
        return load(job, *args, **kwargs)

    monkeypatch.setattr(many_captures.CaptureJob, "load", troubled)
    assert again(config, place) == PARTIAL
    said = rows(place)
    assert said["a"]["reason"] == f"{place / 'a'}: cannot be made: File exists; give another folder"
    assert said["b"]["reason"].startswith("not enough memory")
    assert said["late"]["state"] == "finished"


@pytest.mark.slow
def test_compiled_programs_are_dropped_now_and_then(config, place, monkeypatch):
    cleared = []
    monkeypatch.setattr(many_captures, "CLEAR_EVERY", 2)
    monkeypatch.setattr(many_captures.jax, "clear_caches", lambda: cleared.append(len(cleared)))
    assert again(config, place) == PARTIAL
    assert cleared == [0]


def test_several_processes_are_refused(config, place, monkeypatch):
    monkeypatch.setattr(many_captures.jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match="--distributed: many captures are not split over proc"):
        again(config, place)
    assert not place.exists()


def test_captures_are_fine_tuned_one_after_the_other(config, place):
    config.init_from, config.train.captures_at_once = "x.nam", 2
    with pytest.raises(UserError, match="captures_at_once=2: captures are fine-tuned one after"):
        again(config, place)
    config.train.captures_at_once = 0
    with chosen(captures=16):
        assert many_captures._at_once(config, Session()) == 1
        assert many_captures._at_once(dataclasses.replace(config, init_from=""), Session()) == 16
    initial = Session(initial=dict, initial_name="run")
    assert many_captures._at_once(dataclasses.replace(config, init_from=""), initial) == 1


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
@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_the_share_of_a_state_is_that_of_one_alone(optimizer):
    tasks = [task_of(audio_of(seed)) for seed in range(3)]
    settings = Settings(optimizer=optimizer, clip_norm=1.0, average_decay=0.9)
    states = []
    for task in (together(tasks), tasks[1]):
        with Dispatcher(task, settings, lambda step: 1) as dispatcher:
            states.append(jax.device_get(dispatcher.create(dispatcher.params)))
    share = states[0].of(1, jax.tree.structure(states[1]))
    jax.tree.map(np.testing.assert_array_equal, share, states[1])


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
def test_a_wave_writes_each_capture_as_if_it_were_alone(config, place, monkeypatch, capsys):
    assert again(config, place / "alone") == PARTIAL
    config.train.captures_at_once = 2
    assert again(config, place / "wave") == PARTIAL
    assert not (place / "wave" / ".waves").exists()
    for name in ("a", "late"):
        files = [{p.name for p in (place / kind / name).iterdir()} for kind in ("alone", "wave")]
        assert files[0] == files[1]
        one, other = (read_nam(place / kind / name / "model.nam") for kind in ("alone", "wave"))
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-4)
        records = [
            read_records(place / kind / name / "metrics.jsonl") for kind in ("alone", "wave")
        ]
        for pair in zip(*records, strict=True):
            first, second = ([record[key] for key in ("step", "esr/linear")] for record in pair)
            np.testing.assert_allclose(first, second, rtol=1e-4)
    assert rows(place / "wave")["late"]["latency_samples"] == "135"
    before = many_captures.execute
    monkeypatch.setattr(many_captures, "execute", None)  # nothing is left to do
    assert again(config, place / "wave") == PARTIAL
    monkeypatch.setattr(many_captures, "execute", before)
    # From then on each goes on as if it had been alone: other metadata, and a longer budget.
    capsys.readouterr()
    config.metadata.gear_make = "Acme"
    assert again(config, place / "wave") == PARTIAL
    assert all_said(capsys).count("continuing at step") == 2
    assert read_nam(place / "wave" / "late" / "model.nam").metadata["gear_make"] == "Acme"
    config.train.epochs = 3
    for kind in ("alone", "wave"):
        assert again(config, place / kind) == PARTIAL
    assert all_said(capsys).count("continuing at step") == 4
    for name in ("a", "late"):
        one, other = (read_nam(place / kind / name / "model.nam") for kind in ("alone", "wave"))
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-4)


def interrupted(config, place, monkeypatch, written=0):
    """Ends a wave of two by Ctrl-C, after the results of so many."""
    config.train.captures_at_once = 2
    names, before = [], wave._hand_over

    def hand_over(share, config, folder):
        if len(names) == written:
            raise KeyboardInterrupt
        names.append(folder.name)
        before(share, config, folder)

    with monkeypatch.context() as patched:
        patched.setattr(wave, "_hand_over", hand_over)
        with pytest.raises(KeyboardInterrupt):
            again(config, place)
    assert list((place / ".waves").glob("*/checkpoints/*"))


@pytest.mark.slow
@pytest.mark.parametrize(("written", "left"), [(0, "a, late"), (1, "late")])
def test_an_interrupted_wave_goes_on_as_it_was(config, place, monkeypatch, capsys, written, left):
    mended(config)
    interrupted(config, place, monkeypatch, written)
    assert (place / "a" / "model.nam").exists() == bool(written)
    capsys.readouterr()
    assert again(config, place) == 0
    said = all_said(capsys)
    assert f"together: {left}\n" in said
    assert said.count("continuing at step") == 1
    assert {row["state"] for row in rows(place).values()} == {"finished"}
    assert not (place / ".waves").exists()


@pytest.mark.slow
@pytest.mark.parametrize("change", ["gone", "another"])
def test_a_wave_goes_on_without_what_is_changed(config, place, monkeypatch, capsys, change):
    mended(config)
    interrupted(config, place, monkeypatch)
    path = Path(config.data.output, "a.wav")
    amp, _ = soundfile.read(path)
    path.unlink()
    if change == "another":
        write(path, 0.5 * amp)
    capsys.readouterr()
    assert again(config, place) == 0
    said = all_said(capsys)
    assert "together: late\n" in said
    assert said.count("continuing at step") == 1
    assert ("1 of 2: a\n" in said) == (change == "another")


@pytest.mark.slow
def test_changed_options_of_a_capture_are_seen_by_its_wave(config, place, monkeypatch, capsys):
    manifest = place.parent / "list.csv"
    text = "output,latency\nwet/a.wav,{}\nwet/late.wav,\n"
    manifest.write_text(text.format(95))
    config.data.manifest, config.data.output = str(manifest), ""
    interrupted(config, place, monkeypatch)
    manifest.write_text(text.format(90))
    capsys.readouterr()
    assert again(config, place) == PARTIAL
    assert "was started with --config.data.latency=95, not 90" in rows(place)["a"]["reason"]
    assert "together: late\n" in capsys.readouterr().out
    assert rows(place)["late"]["state"] == "finished"
    assert not (place / ".waves").exists()


@pytest.mark.slow
def test_a_wave_waits_for_files_that_are_missing_for_now(config, place, monkeypatch, capsys):
    manifest = place.parent / "list.csv"
    manifest.write_text("output\nwet/a.wav\nwet/late.wav\n")
    config.data.manifest, config.data.output = str(manifest), ""
    interrupted(config, place, monkeypatch)
    wet = place.parent / "wet"
    wet.rename(place.parent / "unplugged")
    assert again(config, place) == 1
    (place.parent / "unplugged").rename(wet)
    capsys.readouterr()
    assert again(config, place) == 0
    said = all_said(capsys)
    assert "together: a, late\n" in said
    assert said.count("continuing at step") == 1


@pytest.mark.slow
def test_a_wave_that_fails_keeps_its_checkpoints(config, place, monkeypatch, capsys):
    mended(config)
    config.train.captures_at_once = 2

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(many_captures.WaveJob, "finish", full)
        patched.setattr(many_captures.MemberJob, "prepare", full)
        before = wave.WaveJob.prepare

        def prepare(job, folder):
            with pytest.MonkeyPatch.context() as whole:
                whole.setattr(many_captures.MemberJob, "prepare", many_captures.CaptureJob.prepare)
                return before(job, folder)

        patched.setattr(wave.WaveJob, "prepare", prepare)
        assert again(config, place) == 1
    assert "together they failed: No space left on device" in capsys.readouterr().out
    assert again(config, place) == 0
    assert "continuing at step" in all_said(capsys)
    assert not (place / ".waves").exists()


@pytest.mark.slow
def test_a_wave_of_another_process_is_left_to_it(config, place, monkeypatch):
    mended(config)
    interrupted(config, place, monkeypatch)
    (folder,) = (place / ".waves").iterdir()
    locks = [FolderLock(path) for path in (folder, place / "a", place / "late")]
    assert again(config, place) == PARTIAL
    assert {row["state"] for row in rows(place).values()} == {"elsewhere"}
    assert list(folder.glob("checkpoints/*"))
    locks[0].release()  # the captures are trained alone there
    assert again(config, place) == PARTIAL
    assert list(folder.glob("checkpoints/*"))
    for lock in locks:
        lock.release()
    assert again(config, place) == 0
    assert not folder.exists()


@pytest.mark.slow
def test_a_wave_shows_each_capture_while_it_trains(config, place, monkeypatch):
    mended(config)
    config.train.captures_at_once, config.train.samples_every = 2, 1
    pages, before = [], wave._hand_over

    def hand_over(share, config, folder):
        pages.append((folder / "report.html").read_text())
        before(share, config, folder)

    monkeypatch.setattr(wave, "_hand_over", hand_over)
    assert again(config, place) == 0
    assert len(pages) == 2
    assert all("Training: step" in page for page in pages)
    for name in ("a", "late"):
        assert (place / name / "samples" / "linear.wav").exists()


@pytest.mark.slow
def test_a_capture_goes_on_alone_with_the_bases_of_its_wave(config, place, capsys):
    mended(config)
    config.train.optimizer, config.train.captures_at_once = "soap", 2
    assert again(config, place) == 0
    config.train.epochs = 3
    capsys.readouterr()
    assert again(config, place) == 0
    assert all_said(capsys).count("continuing at step") == 2


@pytest.mark.slow
def test_what_began_alone_goes_on_alone(config, place, capsys):
    mended(config)
    assert again(config, place) == 0
    config.train.captures_at_once, config.train.epochs = 2, 3
    capsys.readouterr()
    assert again(config, place) == 0
    said = all_said(capsys)
    assert "together" not in said
    assert said.count("continuing at step") == 2


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
