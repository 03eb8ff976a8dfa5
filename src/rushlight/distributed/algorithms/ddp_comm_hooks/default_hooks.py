"""Hooks that average gradients, plainly or in 16 bits."""

import rushlight as torch
from rushlight.distributed.groups import of
from rushlight.distributed.reducing import ReduceOp


def _average(group, tensor):
    group = of(group)
    tensor.div_(group.size())
    return group.allreduce([tensor], ReduceOp.SUM).get_future().then(lambda f: f.value()[0])


def allreduce_hook(process_group, bucket):
    """The average of the gradients over `process_group` (None: all processes)."""
    return _average(process_group, bucket.buffer())


def _compressed(group, bucket, dtype):
    buffer = bucket.buffer()
    return _average(group, buffer.to(dtype)).then(lambda f: buffer.copy_(f.value()))


def fp16_compress_hook(process_group, bucket):
    """The average of the gradients, which travel as float16."""
    return _compressed(process_group, bucket, torch.float16)


def bf16_compress_hook(process_group, bucket):
    """The average of the gradients, which travel as bfloat16."""
    return _compressed(process_group, bucket, torch.bfloat16)


def _wrapper(hook, dtype):
    def compressed(state, bucket):
        buffer = bucket.buffer()
        bucket.set_buffer(buffer.to(dtype))

        def widen(future):
            value = future.value()
            return buffer.copy_(value[0] if isinstance(value, list) else value)
        return hook(state, bucket).then(widen)
    return compressed


def fp16_compress_wrapper(hook):
    """`hook` on gradients in float16."""
    return _wrapper(hook, torch.float16)


def bf16_compress_wrapper(hook):
    """`hook` on gradients in bfloat16."""
    return _wrapper(hook, torch.bfloat16)
