"""Tiny-ImageNet-100 (32x32): photographs of 100 of the 200 classes of Tiny-ImageNet, as JPEG files of 32x32 in a folder."""

from dau_lightning.dataset.images import Data
from dau_lightning.dataset.known_folder import known_folder

NAMES = """
abacus academic_gown african_elephant albatross altar american_alligator american_lobster apron arabian_camel baboon
backpack bannister barbershop barn barrel basketball bathtub beach_wagon beacon beaker bee beer_bottle bighorn bikini
binoculars birdhouse bison black_stork black_widow boa_constrictor bow_tie brain_coral brass broom brown_bear bucket
bullet_train bullfrog butcher_shop candle cannon cardigan cash_machine cd_player centipede chain chest chihuahua
chimpanzee christmas_stocking cliff_dwelling cockroach computer_keyboard confectionery convertible cougar crane dam desk
dining_table dragonfly drumstick dugong egyptian_cat european_fire_salamander fly gazelle german_shepherd
golden_retriever goldfish goose grasshopper guinea_pig hog jellyfish king_penguin koala labrador_retriever ladybug
lesser_panda lion mantis monarch orangutan ox persian_cat scorpion sea_cucumber sea_slug slug snail spiny_lobster
standard_poodle sulphur_butterfly tabby tailed_frog tarantula trilobite walking_stick yorkshire_terrier
"""
CLASSES = tuple(NAMES.split())


def tiny_imagenet100(root: str, train_limit: int | None, test_limit: int | None, seed: int, cache: str) -> Data:
    """The 50,000 training and 5,000 test images; arguments and errors are those of `known_folder`."""
    return known_folder("Tiny-ImageNet-100", CLASSES, root, train_limit, test_limit, seed, cache)
