"""From expressions and loop structure to LLVM IR text."""
