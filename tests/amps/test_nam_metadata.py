import pytest

from wf_jax.amps.nam_metadata import USER_KEYS, of_chain

AMP = {
    **{"name": "Stack", "gear_make": "Acme", "gear_type": "amp", "tone_type": "crunch"},
    **{"input_level_dbu": 12.0, "output_level_dbu": 3.0, "loudness": -20.0},
}
PEDAL = {"name": "Fuzz", "gear_make": "Pedals", "gear_type": "pedal", "input_level_dbu": 8.0}


def test_one_model_keeps_what_its_user_said_and_no_measurement():
    assert of_chain([AMP], cabinet=False) == {key: AMP.get(key) for key in USER_KEYS}
    assert of_chain([{}], cabinet=False) == dict.fromkeys(USER_KEYS)


def test_a_chain_is_named_after_all_and_is_the_gear_of_the_last():
    gear = of_chain([PEDAL, AMP], cabinet=False)
    assert (gear["name"], gear["gear_make"], gear["gear_type"]) == (
        "Fuzz + Stack",
        "Acme",
        "pedal_amp",
    )
    assert (gear["input_level_dbu"], gear["output_level_dbu"]) == (8.0, 3.0)
    assert of_chain([{}, AMP], cabinet=False)["name"] is None


@pytest.mark.parametrize(
    ("before", "after"),
    [("amp", "amp_cab"), ("pedal", "pedal"), (None, None), (["amp"], ["amp"])],
)
def test_a_cabinet_changes_the_type_and_hides_the_output_level(before, after):
    gear = of_chain([AMP | {"gear_type": before}], cabinet=True)
    assert (gear["gear_type"], gear["output_level_dbu"]) == (after, None)
