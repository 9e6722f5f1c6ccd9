"""Campaigns: every one in the file builds its models, and what is wrong is named."""

import numpy as np
import pytest
import yaml

from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.home import campaigns_file


@pytest.mark.parametrize("name", campaigns.campaign_names())
def test_every_campaign_of_the_file_imagines_and_acts(name):
    from worldvla.policy.noise import Draws
    from worldvla.policy.vla import Policy
    from worldvla.training.device import generator
    from worldvla.world_model.autoencoder import FrameAutoencoder
    from worldvla.world_model.embodiment import Embodiment
    from worldvla.world_model.imagination import Imagination
    from worldvla.world_model.model import assemble, autoencoder_config, embodiment_config

    campaign = campaigns.load(name)
    chunk, size = campaign.scene.chunk, campaign.world_model.image_size
    assert campaign.scene.max_steps % chunk == 0
    autoencoder = FrameAutoencoder(autoencoder_config(campaign.world_model))
    embodiment = Embodiment(
        embodiment_config(autoencoder, 18, 7, campaign.policy.image_size, len(campaign.scene.tasks))
    )
    model = assemble(autoencoder, embodiment, campaign.world_model, chunk).eval()
    imagination = Imagination(model, campaign.imagination.denoising_steps, 0)
    policy = Policy.create(campaign.policy, chunk, 0).eval()
    frame = np.zeros((1, size, size, 3), np.uint8)
    actions = policy.act(frame, ["push"], 1.0, Draws(campaign.rl.noise, 1, chunk, generator(0)).next()).actions.numpy()
    imagined = imagination.step(imagination.start(frame, np.zeros((1, 18), np.float32)), actions)
    frames = chunk // campaign.world_model.frame_stride
    assert imagined.images.shape == (1, frames, size, size, 3) and imagined.reward.shape == (1, frames)


def test_a_variant_is_named_by_its_settings_and_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    name = campaigns.make_variant("demo", {"rl.updates": 3})
    assert name == "demo.rl.updates-3" == campaigns.make_variant("demo", {"rl.updates": 3})
    assert campaigns.load(name).rl.updates == 3
    assert campaigns.load(name).rl.model_copy(update={"updates": 0}) == campaigns.load("demo").rl.model_copy(
        update={"updates": 0}
    )
    assert name in campaigns.campaign_names()
    with pytest.raises(UserError, match="other settings"):
        campaigns.make_variant("demo", {"rl.updates": 4}, name)


def test_a_variant_that_is_there_is_not_written_again(tmp_path, monkeypatch):
    """Another process may be reading it, and a kill would leave half of it."""
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    name = campaigns.make_variant("demo", {"rl.updates": 3})
    [path] = (tmp_path / "campaigns").iterdir()
    path.chmod(0o444)
    before = path.stat()
    assert campaigns.make_variant("demo", {"rl.updates": 3}) == name
    assert [*(tmp_path / "campaigns").iterdir()] == [path] and path.stat() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rl.updates": 0}, "rl.updates"),
        ({"rl.updatez": 1}, "there is no setting rl.updatez; did you mean rl.updates"),
        ({"nightly.notify": ["mail"]}, "nightly.notify: .*'mail' is none of log, webhook"),
        ({"nightly.start": 60}, "nightly.start: .*YAML reads 60 there, so write it in quotes"),
        ({"rl.noise.temperature": 0}, "rl.noise: .*temperature must be above 0"),
        ({"rl.noise.coherence": 1}, "rl.noise.coherence"),
        ({"scene": 3}, "scene"),
        ({"world_model.frame_stride": 3}, "does not divide scene.chunk 8"),
        ({"scene.camera_stride": 3}, "does not divide world_model.frame_stride 4"),
        ({"curation.heldout": 2}, "curation.heldout"),
        ({"curation.heldout": 0.6, "curation.validation": 0.5}, "curation: .* leave no states to train on"),
    ],
)
def test_a_wrong_setting_is_named(settings, message, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    with pytest.raises(UserError, match=message):
        campaigns.make_variant("demo", settings)
    assert campaigns.campaign_names() == [n for n in campaigns.campaign_names() if not n.startswith("demo.")]


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", "nope"])
def test_an_unknown_campaign_is_refused_with_those_that_exist(name):
    with pytest.raises(UserError, match="demo, test"):
        campaigns.load(name)


@pytest.mark.parametrize("text", ["rl.updates", "=3", "a=[1"])
def test_a_setting_that_cannot_be_read(text):
    with pytest.raises(UserError, match="--set"):
        campaigns.parse_setting(text)


def test_a_broken_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "campaigns.yaml"
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(path))
    with pytest.raises(UserError, match="campaigns.yaml does not exist"):
        campaigns.load("demo")
    path.write_text("defaults: [")
    with pytest.raises(UserError, match="not YAML"):
        campaigns.load("demo")
    path.write_text(yaml.safe_dump({"defaults": {}, "presets": {}}))
    with pytest.raises(UserError, match="'campaigns'"):
        campaigns.load("demo")
    path.write_bytes(b"defaults: \xff")
    with pytest.raises(UserError, match="campaigns.yaml cannot be read: .*UTF-8"):
        campaigns.load("demo")
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(tmp_path))
    with pytest.raises(UserError, match="cannot be read"):
        campaigns.load("demo")


def test_a_variant_that_can_no_longer_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    folder = tmp_path / "campaigns"
    folder.mkdir()
    (folder / "old.yaml").write_text(yaml.safe_dump({"campaign": "renamed", "set": {}}))
    with pytest.raises(UserError, match="old.yaml, a variant of renamed: no campaign 'renamed'"):
        campaigns.load("old")


def test_single_tasks_may_have_other_numbers_of_demonstrations(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    demonstrations = campaigns.load("tabletop").demonstrations
    assert demonstrations.of("PlaceSphere-v1") > demonstrations.of("StackCube-v1") == demonstrations.per_task
    with pytest.raises(UserError, match="demonstrations.tasks.PlaceSphere-v1"):
        campaigns.make_variant("tabletop", {"demonstrations.tasks": {"PlaceSphere-v1": 0}})


def test_a_preset_is_built_on_the_preset_that_it_names(tmp_path, monkeypatch):
    file = yaml.safe_load(campaigns_file().read_text())
    path = tmp_path / "campaigns.yaml"
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(path))
    file["presets"] |= {"smaller": {"preset": "tiny", "rl": {"groups": 1}}, "none": {"preset": "smallest"}}
    file["presets"] |= {"egg": {"preset": "hen"}, "hen": {"preset": "egg"}}
    file["campaigns"] = {name: {"preset": name} for name in ("tiny", "smaller", "none", "egg")}
    path.write_text(yaml.safe_dump(file))
    smaller, tiny = campaigns.load("smaller"), campaigns.load("tiny")
    assert smaller.rl.groups == 1
    assert smaller.model_copy(update={"rl": tiny.rl}) == tiny and smaller.rl.model_copy(update={"groups": 2}) == tiny.rl
    with pytest.raises(UserError, match="presets.none.preset is 'smallest'; the presets are .*smaller"):
        campaigns.load("none")
    with pytest.raises(UserError, match="presets.hen.preset is 'egg', which is built on hen itself"):
        campaigns.load("egg")
