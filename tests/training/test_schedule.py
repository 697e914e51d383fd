import pytest

from wf_jax.training.schedule import Schedule


def test_a_long_run_fades_with_its_steps():
    schedule = Schedule(hold=0.5, end=0.02, fade=300)
    assert [schedule(0.2, step) for step in (0, 299, 300)] == [1, 1, 1]
    assert schedule(0.2, 1200) == pytest.approx(0.5)
    assert schedule(0.75, 1200) == pytest.approx(0.5 * 0.51)
    assert Schedule()(0.2, 10**9) == 1


def test_rises_holds_and_falls():
    schedule = Schedule(warmup=0.1, hold=0.6, end=0.02)
    assert [schedule(p) for p in (0, 0.05, 0.1, 0.3, 0.6)] == [0, 0.5, 1, 1, 1]
    assert schedule(0.8) == pytest.approx(0.51)
    assert schedule(1.0) == pytest.approx(0.02)


def test_it_falls_exponentially():
    schedule = Schedule(end=0.01, exponential=True)
    assert [schedule(p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.1, 0.01])


def test_stairs_are_the_decay_per_epoch_of_the_trainer():
    schedule, steps = Schedule(end=0.994**100, exponential=True, stairs=100), 18
    for step in (0, 1, 17, 18, 35, 36, 899, 900, 1799):
        assert schedule(step / (100 * steps)) == pytest.approx(0.994 ** (step // steps)), step


def test_the_default_is_constant():
    assert {Schedule()(p) for p in (0.0, 0.3, 1.0)} == {1.0}


def test_hold_to_the_end_never_falls():
    schedule = Schedule(hold=1.0, end=0.02)
    assert schedule(0.999) == schedule(1.0) == 1.0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"warmup": 0.7, "hold": 0.6}, "warmup 0.7 and hold 0.6"),
        ({"warmup": -0.1}, "warmup -0.1"),
        ({"hold": 1.1}, "hold 1.1"),
        ({"end": 0.0}, "end 0 is not above 0"),
        ({"end": 1.5}, "end 1.5"),
        ({"end": float("nan")}, "end nan"),
    ],
)
def test_values_out_of_range_are_named(values, said):
    with pytest.raises(ValueError, match=said):
        Schedule(**values)
