"""DLPack under PyTorch's module name: tensors to and from other libraries without a copy."""

import rushlight as torch

from_dlpack = torch.from_dlpack
to_dlpack = torch.to_dlpack
