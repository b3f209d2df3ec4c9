"""Pictures and holes: where they are, how they are cut, and how batches of them reach a model."""
