"""Sets the registry's alias `champion` once a release has been promoted; the one place here that knows MLflow."""

from __future__ import annotations

from tallystick.components.core.errors import StorageError

ALIAS = "champion"


def set_champion(tracking_uri: str, *, model: str, version: str) -> None:
    """Let the alias `champion` of a registered model name a version.

    Raises
    ------
    StorageError
        The registry could not be reached or does not know the version; the alias is as it was.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        client.set_registered_model_alias(model, ALIAS, version)
    except (MlflowException, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise StorageError(f"the registry: {model} version {version} could not be made champion ({problem})") from error
