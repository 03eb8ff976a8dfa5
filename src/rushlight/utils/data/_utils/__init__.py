"""PyTorch's place for the parts of data loading that programs extend."""
