"""The project's yaml, composed by Hydra, without a trace in a Hydra application around it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import DictConfig

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


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration of a command line."""
    with projects_yaml():
        return compose("config", overrides=list(overrides))
