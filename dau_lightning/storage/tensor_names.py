"""What the names of tensors and state dicts in a file say: that they are no weights, or that others come first."""

import re

# Counters and class weights, which are no layer.
NO_LAYER = re.compile(
    r"(^|\.)(num_batches_tracked|n_averaged|total_ops|total_params)$|^(class_weights?|pos_weight)$", re.IGNORECASE
)
AVERAGE = r"ema|swa|avg|average[ds]?|averaging|shadows?|teacher"
# Words for what is no weight of a classifier: auxiliary heads, losses, normalisation, metrics, averaged copies.
BESIDE = re.compile(
    rf"{AVERAGE}|aux|auxiliary|loss|losses|criteri(on|a|ons)|objective|b?ce|nll|(cross)?entropy|focal|normali[sz]er?|metrics?|acc|accuracy|f1|fbeta|precision|recall"
    r"|specificity|auc|auroc|roc|auprc|confmat|confusion|m?iou|jaccard|dice|kappa|mcc|matthews|hamming|ece"
)
# Words for weights, and for what has their names and shapes, that are taken only if the file has no others.
LAST = re.compile(
    rf"{AVERAGE}|init|initial|initiali[sz]ed|old|older|prev|previous|start|starting|before|earlier|first|frozen|pretrained"
    r"|reference|ref|backup|masks?|grads?|gradients?|fisher|importances?|momentum"
)


def _words(name: str) -> set[str]:
    """The words of a name, in lower case: they end at `_` and `.`, and before a capital; with and without their number."""
    parts = re.split(r"[_.]", name)
    words = {*parts, *(word for part in parts for word in re.findall(r"[A-Z]?[a-z]+\d*|[A-Z]+(?![a-z])\d*", part))}
    return {form.lower() for word in words for form in (word, word.rstrip("0123456789"))}


def no_weight(name: str) -> bool:
    """Whether a tensor is no weight of a classifier; decided by the whole words before the first dot."""
    return bool(NO_LAYER.search(name)) or any(map(BESIDE.fullmatch, _words(name.split(".")[0])))


def comes_last(label: str) -> bool:
    """Whether the label of weights says that others of the file come first: averages, and those of an earlier time."""
    return any(map(LAST.fullmatch, _words(label)))
