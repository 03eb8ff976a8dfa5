"""Linear algebra on batches of matrices: LAPACK by way of NumPy and SciPy, gradients written out."""
