"""Checkpoints: restored values are the saved ones, or the fault is reported."""

import json
import os
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wf_jax.errors import UserError
from wf_jax.training import saved_checkpoints
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.fingerprints import _across_processes, describe, fingerprints
from wf_jax.training.saved_checkpoints import load_params

# Orbax leaves the failed reads to its own event loop.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def state():
    return {"a": jnp.arange(6.0).reshape(2, 3), "b": {"c": jnp.int32(4)}}


def save_two(folder, **options):
    with Checkpoints(folder, **options) as checkpoints:
        checkpoints.save(1, state(), {"minutes": 0.5})
        checkpoints.save(2, jax.tree.map(lambda x: x + 1, state()), {"minutes": 1.0})


def restore(folder, like=None):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(like or state())


def test_round_trip(tmp_path):
    save_two(tmp_path, config={"train.steps": 5})
    restored = restore(tmp_path)
    assert (restored.step, restored.notes) == (2, {"minutes": 1.0})
    np.testing.assert_array_equal(restored.state["a"], state()["a"] + 1)
    written = json.loads((tmp_path / "2" / "_CHECKPOINT_METADATA").read_text())["custom_metadata"]
    assert written["config"] == {"train.steps": 5}
    assert written["versions"]["jax"] == jax.__version__


@pytest.mark.parametrize("name", ["take [2]", "a*b", "what?", "[", "[!x]", "ümlaut ☃"])
def test_a_folder_of_any_name(tmp_path, name):
    save_two(tmp_path / name)
    np.testing.assert_array_equal(restore(tmp_path / name).state["a"], state()["a"] + 1)
    assert [p.name for p in (tmp_path / name).iterdir() if p.name.isdigit()]


def test_the_last_one_is_on_the_disk_when_it_is_reported(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("wf_jax.training.checkpoints.flush", flushed.append)
    with Checkpoints(tmp_path / "run") as checkpoints:
        checkpoints.save(3, {"a": np.zeros(2)}, {})
    there = {path for path in (tmp_path / "run" / "3").rglob("*")}
    assert {tmp_path / "run", tmp_path / "run" / "3"} | there == set(flushed)
    assert len(there) > 3


def test_nothing_to_restore(tmp_path):
    assert restore(tmp_path) is None


def test_the_newest_and_the_best_stay(tmp_path):
    with Checkpoints(tmp_path, keep=2, keep_best=1) as checkpoints:
        for step, metric in enumerate([5.0, 1.0, None, 3.0, None, 4.0, None], start=1):
            checkpoints.save(step, state(), {}, metric)
    assert sorted(int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()) == [2, 6, 7]


@pytest.mark.parametrize("jump", [-1e8, 1e8])
def test_a_clock_that_jumps(tmp_path, monkeypatch, jump):
    """Years back or ahead between two saves, the newest is the one of the latest step."""
    true = time.time
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, state(), {})
        checkpoints.save(2, state(), {})
        checkpoints._checkpointer.wait()
        monkeypatch.setattr(time, "time", lambda: true() + jump)
        checkpoints.save(3, jax.tree.map(lambda x: x + 1, state()), {})
    restored = restore(tmp_path)
    assert restored.step == 3
    np.testing.assert_array_equal(restored.state["a"], state()["a"] + 1)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.isdigit()) == ["2", "3"]


def sharded(devices, spec):
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    return jax.device_put(
        {"w": jnp.arange(8.0).reshape(4, 2)}, NamedSharding(mesh, PartitionSpec(*spec))
    )


@pytest.mark.parametrize(
    ("devices", "spec"), [(1, ()), (2, ()), (2, ("data",)), (2, (None, "data"))]
)
def test_comes_back_on_any_devices(tmp_path, devices, spec):
    saved = sharded(2, ("data",))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, saved, {})
    like = sharded(devices, spec)
    restored = restore(tmp_path, like).state["w"]
    assert restored.sharding.is_equivalent_to(like["w"].sharding, 2)
    np.testing.assert_array_equal(restored, saved["w"])


# Damage


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def deleted(path):
    path.unlink()


def flipped(path):
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [truncated, flipped, deleted])
def test_damage_to_any_one_file_is_noticed_or_harmless(tmp_path, caplog, damage):
    """Never restores other values than were saved; reports a fall-back to an older checkpoint."""
    whole = tmp_path / "whole"
    save_two(whole)
    newest = jax.tree.map(lambda x: x + 1, state())
    files = sorted(p.relative_to(whole) for p in (whole / "2").rglob("*") if p.is_file())
    assert len(files) >= 6
    noticed = 0
    for number, name in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        damage(folder / name)
        caplog.clear()
        restored = restore(folder)
        if restored.step == 2:
            assert fingerprints(restored.state) == fingerprints(newest), name
            assert restored.notes == {"minutes": 1.0}, name
        else:
            assert fingerprints(restored.state) == fingerprints(state()), name
            assert restored.notes == {"minutes": 0.5}
            assert "checkpoint 2 is damaged" in caplog.text
            assert (tmp_path / str(number)).parent.joinpath("damaged_checkpoints").is_dir()
            noticed += 1
    assert noticed >= 3  # what holds data and metadata


@pytest.mark.slow
def test_a_byte_flipped_anywhere(tmp_path):
    """Orbax alone reads most of these without complaint."""
    whole, seen = tmp_path / "whole", []
    save_two(whole)
    expected = {1: fingerprints(state()), 2: fingerprints(jax.tree.map(lambda x: x + 1, state()))}
    for name in sorted(p.relative_to(whole) for p in (whole / "2").rglob("*") if p.is_file()):
        content = (whole / name).read_bytes()
        for position in {*np.linspace(0, len(content) - 1, 6).astype(int)} if content else ():
            shutil.rmtree(tmp_path / "try", ignore_errors=True)
            shutil.copytree(whole, tmp_path / "try")
            changed = bytearray(content)
            changed[position] ^= 1
            (tmp_path / "try" / name).write_bytes(bytes(changed))
            restored = restore(tmp_path / "try")
            assert fingerprints(restored.state) == expected[restored.step], (name, position)
            assert restored.notes == {"minutes": restored.step / 2}, (name, position)
            seen.append(restored.step)
    assert seen.count(1) > 5


def test_after_damage_the_run_goes_on_and_keeps_what_was_damaged(tmp_path):
    folder = tmp_path / "checkpoints"
    save_two(folder)
    for path in (folder / "2" / "state").rglob("*"):
        if path.is_file():
            truncated(path)
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.restore(state()).step == 1
        checkpoints.save(2, jax.tree.map(lambda x: x + 5, state()), {})
    np.testing.assert_array_equal(restore(folder).state["a"], state()["a"] + 5)
    assert [p.name for p in (tmp_path / "damaged_checkpoints").iterdir()] == ["2"]


@pytest.mark.parametrize("left", ["state", "_CHECKPOINT_METADATA", "nothing", "all"])
def test_what_was_being_deleted_when_a_run_was_killed_is_deleted(tmp_path, caplog, left):
    """It is not called damaged, and not kept."""
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, keep=3, keep_best=1) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state(), {}, 4.0 - step)
    for path in (folder / "1").iterdir():
        if left not in (path.name, "all"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with Checkpoints(folder, keep=2, keep_best=1) as checkpoints:
        assert checkpoints.restore(state()).step == 3
    assert sorted(p.name for p in folder.iterdir()) == ["2", "3"]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]
    assert "damaged" not in caplog.text


def test_one_without_metadata_that_would_have_stayed_is_set_aside(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    save_two(folder)
    (folder / "1" / "_CHECKPOINT_METADATA").unlink()
    assert restore(folder).step == 2
    assert (tmp_path / "damaged_checkpoints" / "1").is_dir()
    assert "checkpoint 1 is damaged" in caplog.text


def test_all_damaged_is_an_error(tmp_path):
    save_two(tmp_path)
    for path in [p for p in tmp_path.rglob("*") if p.is_file() and "state" in p.parts]:
        truncated(path)
    with pytest.raises(UserError, match=r"none of the checkpoints .* --workdir"):
        restore(tmp_path)
    assert {"1", "2"} <= {p.name for p in tmp_path.iterdir()}  # nothing is thrown away


def test_half_written_is_not_there(tmp_path):
    save_two(tmp_path)
    (tmp_path / "2").rename(tmp_path / "2.orbax-checkpoint-tmp")
    assert restore(tmp_path).step == 1


# Other models


def test_another_models_checkpoint_names_the_array(tmp_path):
    save_two(tmp_path)
    for like, message in [
        ({**state(), "d": jnp.zeros(2)}, "another model: d is only in the model"),
        ({"a": state()["a"]}, "another model: b/c is only in the checkpoint"),
        (
            {**state(), "a": jnp.zeros((2, 4))},
            r"a is float32 \(2, 4\) in the model, float32 \(2, 3\) in it",
        ),
        ({**state(), "a": jnp.zeros((2, 3), jnp.int32)}, r"a is int32 \(2, 3\) in the model"),
    ]:
        with pytest.raises(UserError, match=message):
            restore(tmp_path, like)


def test_parameters_for_another_run(tmp_path):
    run = {
        "best": {"params": {"layers/0/w": jnp.arange(4.0), "b": jnp.ones(2)}},
        "step": jnp.int32(3),
    }
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, run, {})
    step, params = load_params(tmp_path)
    assert step == 3
    np.testing.assert_array_equal(params["layers/0/w"], np.arange(4.0))
    assert sorted(params) == ["b", "layers/0/w"]
    with pytest.raises(UserError, match="no whole checkpoint to start from"):
        load_params(tmp_path / "other")


def test_a_save_that_fails_says_why(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(), {})

        def full(*args, **options):
            raise ValueError("pages\nof it") from OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoints._checkpointer, "save_checkpointables_async", full)
        with pytest.raises(UserError) as error:
            checkpoints.save(2, state(), {})
    message = str(error.value)
    assert "No space left on device; make room, then the same command goes on" in message
    assert "what was saved before is intact" in message
    assert "\n" not in message
    assert restore(tmp_path).step == 1


def test_fingerprint_sees_any_single_bit():
    x = np.random.default_rng(0).normal(size=50).astype(np.float32)
    before = fingerprints({"x": jnp.asarray(x)})
    for bit in range(0, 50 * 32, 7):
        flipped = x.copy()
        flipped.view(np.uint32)[bit // 32] ^= np.uint32(1 << (bit % 32))
        assert fingerprints({"x": jnp.asarray(flipped)}) != before


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "bool", "uint16"])
def test_fingerprint_of_other_types(dtype):
    x = jnp.zeros(5, dtype)
    assert fingerprints({"x": x}) != fingerprints({"x": x.at[3].set(jnp.ones((), dtype))})
    assert describe({"x": x})["x"][:2] == [[5], dtype]


def test_fingerprint_is_the_same_where_no_process_has_all_of_an_array():
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(3, 5)), rng.normal(size=7) < 0, np.float32(0.1), np.arange(5)]
    arrays = [jnp.asarray(x) for x in values] + [jnp.ones((2, 3), "bfloat16")]
    mesh = jax.make_mesh((1,), ("data",))
    across = np.asarray(_across_processes(mesh)(arrays))
    assert list(fingerprints(arrays).values()) == across.tolist()


def test_folders_whose_names_are_no_steps(tmp_path):
    """Tries digits of other scripts, leading zeros, and more than a counter holds."""
    save_two(tmp_path)
    for name in ("²", "٣", "007", "9" * 20):
        (tmp_path / name).mkdir()
    assert restore(tmp_path).step == 2


def test_a_copy_that_is_called_later_than_any_step(tmp_path):
    save_two(tmp_path)
    shutil.copytree(tmp_path / "1", tmp_path / ("9" * 12))
    assert restore(tmp_path).step == 2


def test_a_pipe_is_not_waited_for(tmp_path):
    save_two(tmp_path)
    (tmp_path / "2" / "_CHECKPOINT_METADATA").unlink()
    os.mkfifo(tmp_path / "2" / "_CHECKPOINT_METADATA")
    for use in (restore, load_params):
        with pytest.raises(UserError, match="_CHECKPOINT_METADATA: not a regular file"):
            use(tmp_path)


def test_parameters_larger_than_any_model_s_are_not_made(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as saved:
        saved.save(1, {"best": {"params": {"a": jnp.zeros(100)}}}, {})
    assert load_params(tmp_path)[0] == 1
    monkeypatch.setattr(saved_checkpoints, "_MOST_BYTES", 399)
    with pytest.raises(UserError, match="no whole checkpoint"):
        load_params(tmp_path)
