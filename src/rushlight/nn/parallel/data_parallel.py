"""`DataParallel`: a wrapper that has the name and state-dict keys people expect."""

from rushlight.nn.modules.module import Module


class DataParallel(Module):
    """Calls `module`; its state-dict keys begin with 'module.'.

    Args:
        device_ids: devices to split the batch over. More than one is not supported.
        dim: the batch dimension.

    Raises:
        NotImplementedError: for more than one device.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        if device_ids is not None and len(device_ids) > 1:
            raise NotImplementedError("DataParallel over several devices")
        self.module = module
        self.device_ids = []
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0,
                  module_kwargs=None):
    """Call `module` as a `DataParallel` would."""
    if not isinstance(inputs, tuple):
        inputs = () if inputs is None else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*inputs, **(module_kwargs or {}))
