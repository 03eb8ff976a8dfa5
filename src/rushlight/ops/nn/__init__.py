"""Ops of neural networks: convolution, pooling, normalization, losses, embedding, recurrence."""
