"""Silences the warnings of other libraries that appear in every run and say nothing to its user."""

import logging
import warnings

KNOWN = {
    r"`isinstance\(treespec, LeafSpec\)` is deprecated": "Lightning's own use of torch",
    r"The number of training batches \(\d+\) is smaller than the logging interval": "steps are counted over all epochs",
    r"The '\w+' does not have many workers": "data.num_workers was chosen",
    r"This DataLoader will create \d+ worker processes": "so was a number above that of the cores",
    r"Checkpoint directory .* exists and is not empty": "a training that is resumed goes on in its folder",
    r"The dirpath has changed from": "one may be resumed into another folder",
    r"You're resuming from a checkpoint that ended before the epoch ended": "TrainingLoader goes on in mid-epoch",
    r"Experiment logs directory .* exists and is not empty": "CSVLog goes on with the log",
    r"Using `DistributedSampler` with the dataloaders": "the processes share the pictures, each is measured once",
    r"Found \d+ module\(s\) in eval mode at the start of training": "VGG, in a perceptual generator, stays there",
    r"Detected call of `lr_scheduler\.step\(\)` before `optimizer\.step\(\)`": "float16 leaves out the first steps",
    r"Grad strides do not match bucket view strides": "channels last; it costs nothing that can be measured here",
}
"""A regular expression for the beginning of each message, and why nobody has to read it."""


def silence_known_warnings() -> None:
    """Lets no warning through that is `KNOWN`, and sends all others to the log, and so to `train.log` as well."""
    for message in KNOWN:
        warnings.filterwarnings("ignore", message=message)
    logging.captureWarnings(True)
