"""Settings of a run that takes a second, for the real entry point."""

TINY = [
    "wandb.mode=disabled",
    "figures=false",
    "dynamics=0",
    "dataset.train_limit=200",
    "dataset.test_limit=100",
    "recipe.epochs=2",
    "trainer.accelerator=cpu",
]
