"""The project's yaml, composed by Hydra, without a trace in a Hydra application around it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import DictConfig, open_dict

from dau_lightning.base.config_folder import CONFIG_FOLDER


@contextmanager
def projects_yaml() -> Iterator[None]:
    """Let `hydra.compose` find the project's yaml inside the block; a host's Hydra is there again after it."""
    host, version = GlobalHydra.instance(), VersionBase.instance()
    hydra, base = host.hydra, version.getbase()
    host.clear()
    try:
        with initialize_config_dir(str(CONFIG_FOLDER), version_base=None):
            yield
    finally:
        GlobalHydra.set_instance(host)  # Hydra puts a copy in its place
        host.hydra, version.version_base = hydra, base


def composed(overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """The configuration of a command line, and the choice in every group."""
    with projects_yaml():
        config = compose("config", overrides=list(overrides), return_hydra_config=True)
    choices = dict(config.hydra.runtime.choices)
    with open_dict(config):
        del config["hydra"]
    return config, choices
