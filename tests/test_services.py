"""Databases and servers that do not answer are told in one line, without what is secret in their addresses."""

import pytest

from worldvla.errors import UserError
from worldvla.services import check_databases


def test_an_mlflow_server_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:s3cret@127.0.0.1:9")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI: the MLflow server does not answer") as told:
        check_databases()
    assert "s3cret" not in str(told.value) and told.value.__suppress_context__
