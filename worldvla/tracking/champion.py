"""The champion: the policy that a campaign would deploy, as an MLflow alias.

The first evaluated base policy is champion by default. A new policy takes over only when
its success on the same held-out seeds under the same protocol exceeds the champion's by a
paired difference whose 95 % interval lies above zero.
"""

from worldvla.tracking.client import client
from worldvla.tracking.training_run import MODEL_TAG, add_version, logged_model_id

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


def promote(campaign: str, model_id: str) -> str:
    """Moves the alias to the version that holds this model; returns `models:/name/version`.

    A policy that was trained for another campaign, and shared, gets a version under this one first.
    """
    tracking = client()
    name = registered_name(campaign)
    versions = tracking.search_model_versions(f"tags.`{MODEL_TAG}` = '{model_id}'")
    if not versions:
        raise LookupError(f"MLflow has no model with {MODEL_TAG}={model_id}; rematerialize the policy")
    own = [version for version in versions if version.name == name]
    if own:
        number = max(int(version.version) for version in own)
    else:
        number = add_version(tracking, name, model_id, logged_model_id(versions[0]), versions[0].run_id).rsplit("/", 1)[
            1
        ]
    tracking.set_registered_model_alias(name, ALIAS, str(number))
    return f"models:/{name}/{number}"
