"""What MLflow shows of a training that is under way."""

import time
from pathlib import Path

import pytest

from worldvla.tracking import training_run as tracking

DATASET = tracking.DatasetReference("episodes", "lake/episodes", 1, "digest", 16)


@pytest.mark.slow
def test_metrics_are_sent_while_the_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    with tracking.training_run("test", "judge", "fingerprint", {}, DATASET) as run:

        def shown() -> list[int]:
            return [metric.step for metric in run.client.get_metric_history(run.run_id, "judge/loss")]

        run.log(1, {"judge/loss": 0.7})
        assert shown() == []
        monkeypatch.setattr(tracking, "BATCH_MILLISECONDS", 20)
        time.sleep(0.03)
        run.log(2, {"judge/loss": 0.6})
        assert shown() == [1, 2]
        run.log(3, {"judge/loss": 0.5})
    assert shown() == [1, 2, 3] and run.last == {"judge/loss": 0.5}


@pytest.mark.slow
def test_a_run_that_was_killed_before_it_said_what_it_reads_says_so_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    client = tracking.client()
    tags = {tracking.FINGERPRINT_TAG: "fingerprint"}
    begun = client.create_run(tracking.experiment(client, "test"), run_name="judge", tags=tags).info.run_id
    for _ in range(2):  # interrupted once more after that, and told the same
        training = tracking.training_run("test", "judge", "fingerprint", {"steps": 3}, DATASET)
        with pytest.raises(KeyboardInterrupt), training:
            raise KeyboardInterrupt
    run = client.get_run(begun)
    assert run.info.status == "RUNNING", "the training can go on, in this run"
    assert run.data.params == {"steps": "3"}
    assert [one.dataset.digest for one in run.inputs.dataset_inputs] == ["digest"]
