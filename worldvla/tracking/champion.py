"""The champion: the policy that a campaign would deploy, as an MLflow alias.

The first evaluated base policy is champion by default. A new policy takes over only when
its success on the same held-out seeds under the same protocol exceeds the champion's by a
paired difference whose 95 % interval lies above zero.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from worldvla.tracking.client import client
from worldvla.tracking.training_run import (
    MODEL_TAG,
    add_version,
    experiment,
    log_model,
    logged_model_id,
    versions_of,
)

if TYPE_CHECKING:
    from worldvla.lake.models import Model

ALIAS = "champion"


def registered_name(campaign: str) -> str:
    """The registered model that holds all policies of a campaign."""
    return f"{campaign}.policy"


def champion(campaign: str) -> str | None:
    """The champion's model id in the lake, or None when none was chosen yet."""
    from mlflow.exceptions import MlflowException

    try:
        return client().get_model_version_by_alias(registered_name(campaign), ALIAS).tags[MODEL_TAG]
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def promote(campaign: str, model_id: str, read: "Callable[[], Model]") -> str:
    """Moves the alias to the version that holds this model; returns `models:/name/version`.

    A policy that was trained for another campaign, and shared, gets a version under this one first. One that this
    MLflow does not know, since it was trained beside another one, is kept in it as `read` gives it.
    """
    tracking = client()
    name = registered_name(campaign)
    versions = versions_of(tracking, model_id)
    own = [int(version.version) for version in versions if version.name == name]
    if own:
        number = str(max(own))
    else:
        logged, run_id = _logged(tracking, versions, campaign, read)
        number = add_version(tracking, name, model_id, logged, run_id).rsplit("/", 1)[1]
    tracking.set_registered_model_alias(name, ALIAS, number)
    return f"models:/{name}/{number}"


def _logged(tracking: Any, versions: list[Any], campaign: str, read: "Callable[[], Model]") -> tuple[str, str | None]:
    """The logged model behind a policy, and the run that trained it, if MLflow knows it."""
    if versions:
        return logged_model_id(versions[0]), versions[0].run_id
    model, place = read(), experiment(tracking, campaign)
    return log_model(tracking, place, None, model.model_id, model.kind, model.config, model.weights), None
