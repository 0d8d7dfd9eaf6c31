import hydra
from omegaconf import OmegaConf
OmegaConf.register_new_resolver("config_hash", lambda *, _root_: "abc", use_cache=False)
@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(c): 
    from hydra.core.hydra_config import HydraConfig
    print(HydraConfig.get().runtime.choices, HydraConfig.get().runtime.output_dir)
main()
