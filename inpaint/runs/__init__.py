"""What a training or an evaluation keeps: checkpoints, logs, records, and where its results come from."""
