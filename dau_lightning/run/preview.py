"""The preview of a run: the images that it would forget, how each was found, what it would do; nothing is trained."""

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageOps

from dau_lightning.base.console import printable
from dau_lightning.data.request import by_class
from dau_lightning.data.split import Split
from dau_lightning.dataset.images import Images
from dau_lightning.run.experiment import Experiment
from dau_lightning.storage.atomic import atomic_write
from dau_lightning.training.clock import Clock
from dau_lightning.training.module import UnlearningModule

FIRST, LAST = 10, 2  # images that are listed
ON_SHEET, PER_LINE, SIDE, GAP = 64, 8, 96, 16  # images of the contact sheet; pixels
PASSES = 3  # a step of training takes the time of about three forward passes
TIMED = 64  # images whose forward pass is timed


def preview(experiment: Experiment) -> None:
    """Print what a run would do and write `preview.png`, a contact sheet, into its folder.

    Raises:
        InputError: as the run would raise it.
    """
    split, modules, _ = experiment.prepared(may_train=False)
    experiment.announce(split, modules)
    how: Mapping[str, str] = getattr(experiment.scheme, "how", {})  # in the order of the list
    before = set(experiment.plan.previous.ids) if experiment.plan.previous else set[str]()
    places = {name: place for place, name in enumerate(split.forget.ids) if name not in before}
    ordered = [*(name for name in how if name in places), *(name for name in places if name not in how)]
    asked = split.forget[torch.tensor([places[name] for name in ordered])]
    if len(split.request["classes"]) > FIRST:
        print(by_class(split.request["classes"]))
    for number, name in enumerate(asked.ids):
        if number < FIRST or number >= len(asked) - LAST:
            label = asked.class_names[int(asked.targets[number])]
            print(f"{number + 1:>6,}  {printable(name)}  class {label}  {printable(how.get(name, 'by the scheme'))}")
        elif number == FIRST:
            print("   ...")
    if held_out := [printable(name) for name in how if name not in places and name not in before]:
        print(f"held out for validation, so not forgotten: {', '.join(held_out[:FIRST])}{', ...' * (len(held_out) > FIRST)}")
    sheet = experiment.folder.path / "preview.png"
    _contact_sheet(asked, sheet)
    print(f"would train {_duration(_seconds(experiment, split, modules))} on {experiment.training.device}, then evaluate")
    print(f"preview: nothing was trained; the first images are in {sheet}")


def _contact_sheet(images: Images, path: Path) -> None:
    """Draw the first images with their numbers in the list above."""
    shown = images.first(ON_SHEET).permute(0, 2, 3, 1).numpy()
    step = SIDE + GAP
    sheet = Image.new("RGB", (GAP + step * min(PER_LINE, len(shown)), GAP + step * -(-len(shown) // PER_LINE)), "white")
    for number, pixels in enumerate(shown):
        image = Image.fromarray(pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]).convert("RGB")
        corner = GAP + step * (number % PER_LINE), GAP + step * (number // PER_LINE)
        sheet.paste(ImageOps.contain(image, (SIDE, SIDE), Image.Resampling.NEAREST), corner)
        ImageDraw.Draw(sheet).text((corner[0], corner[1] - GAP + 2), str(number + 1), "black")
    with atomic_write(path) as temporary:
        sheet.save(temporary, "png")


@torch.no_grad()
def _seconds(experiment: Experiment, split: Split, modules: Mapping[str, UnlearningModule]) -> float:
    """A rough time for all training of the run, from the time of one forward pass."""
    training, visits = experiment.training, 0
    for kind, module in modules.items():
        known = kind == "original" and experiment.plan.start is not None
        if module.from_scratch:
            known |= training.store.path(module.phase, training.content(module, split)).is_file()
        steps = module.epochs * len(training.data(module, split).train_dataloader())
        images = (max if module.alternating else sum)(module.batch_sizes.values())
        visits += 0 if known else steps * images
    network, device = modules["original"].defender.network.to(training.device).eval(), training.device
    images = training.transform.normalise(split.train.first(TIMED).to(device))
    network(images)  # the first pass takes longer
    start = Clock.now(device)
    network(images)
    return PASSES * visits * (Clock.now(device) - start) / len(images)


def _duration(seconds: float) -> str:
    """A time with one digit: nobody should trust more of it.

    >>> _duration(3), _duration(34), _duration(340), _duration(34000)
    ('a few seconds', 'about 30 seconds', 'about 6 minutes', 'about 9 hours')
    """
    if seconds < 10:
        return "a few seconds"
    unit, size = ("hours", 3600) if seconds >= 5400 else ("minutes", 60) if seconds >= 90 else ("seconds", 1)
    return f"about {float(f'{seconds / size:.1g}'):g} {unit}"
