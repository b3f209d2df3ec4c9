"""Functions of pixel tensors, and the reading and writing of pictures."""
