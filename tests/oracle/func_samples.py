"""Samples of PyTorch's op database, run through `vmap` and `jvp` of both libraries and compared.

``python tests/oracle/func_samples.py [vmap|jvp] [regex] [samples an op]`` prints what differs, op by op.
"""

import inspect
import itertools
import re
import sys
import types
import warnings

import numpy as np
import pytest

# Uninitialised results, draws that vmap spreads in an order of its own, ops outside a plain framework, results that
# are no tensors or not unique.
SKIP = re.compile(
    r"^(empty|new_empty|rand|randint|normal|bernoulli|multinomial|uniform|exponential|cauchy|geometric|log_normal"
    r"|nn\.functional\.(.*dropout|rrelu|fractional_max|gumbel)|sparse|to_sparse|jiterator|torch\.|ops\.|_refs|_"
    r"|.*svd_lowrank|pca_lowrank|resize|as_strided$|as_strided_partial|.*lobpcg|native_dropout|slice$|max_pool2d_with_indices_backward|item|tolist|allclose|equal|chalf|data_ptr"
    r"|linalg\.eig$|eig$|geqrf)")


def resolve(op, fw, torch):
    """The op as a function of the framework, or None."""
    if op.op.__class__ is types.FunctionType and (op.op.__module__ or "").startswith("torch.testing"):
        f = op.op
        if fw is torch:
            return f
        cells = f.__closure__
        if cells:
            return None
        return types.FunctionType(f.__code__, {**f.__globals__, "torch": fw}, f.__name__, f.__defaults__)
    if fw is torch:
        return op.op
    leaf = op.name.split(".")[-1]
    owner = fw
    for part in op.name.split("."):
        owner = getattr(owner, part, None)
        if owner is None:
            break
    if owner is not None and getattr(torch.Tensor, leaf, None) is not op.op:
        return owner
    method = getattr(fw.Tensor, leaf, None)
    return None if method is None else lambda x, *a, **k: getattr(x, leaf)(*a, **k)


def convert(x, fw, torch):
    """`x` with PyTorch's tensors, dtypes and so on as those of `fw`."""
    if isinstance(x, torch.Tensor):
        return fw.from_numpy(x.detach().resolve_conj().resolve_neg().numpy().copy(order="K"))
    if isinstance(x, (torch.dtype, torch.memory_format, torch.layout)):
        return getattr(fw, str(x).rpartition(".")[2])
    if isinstance(x, torch.device):
        return fw.device(str(x))
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)(convert(y, fw, torch) for y in x)
    if isinstance(x, dict):
        return {k: convert(v, fw, torch) for k, v in x.items()}
    if type(x).__module__.startswith("torch"):
        kind = getattr(fw.nn, type(x).__name__, None)
        if kind is None:
            raise TypeError(f"no counterpart for {type(x)}")
        fields = getattr(x, "__dataclass_fields__", None)
        if fields is None:
            fields = [k for k in inspect.signature(kind).parameters if hasattr(x, k)]
        return kind(**{k: getattr(x, k) for k in fields})
    return x


def close_tensors(x, kind, out):
    """All tensors of a tree in order."""
    if isinstance(x, kind):
        out.append(x)
    elif isinstance(x, (list, tuple)):
        for y in x:
            close_tensors(y, kind, out)
    elif isinstance(x, dict):
        for y in x.values():
            close_tensors(y, kind, out)
    return out


def rebuilt(x, kind, values):
    """The tree with its tensors replaced in order."""
    if isinstance(x, kind):
        return next(values)
    if isinstance(x, (list, tuple)):
        return tuple(rebuilt(y, kind, values) for y in x) if type(x) is tuple else [rebuilt(y, kind, values) for y in x]
    if isinstance(x, dict):
        return {k: rebuilt(v, kind, values) for k, v in x.items()}
    return x


def samples(op, torch, n, dtype):
    """Up to `n` strided samples spread over what the database has."""
    torch.manual_seed(0)
    random = op.name.endswith("multi_head_attention_forward")
    found = []
    for s in itertools.islice(op.sample_inputs("cpu", dtype), 200):
        tensors = close_tensors([s.input, s.args, s.kwargs], torch.Tensor, [])
        drops = s.kwargs.get("dropout_p") or random and s.args[9]
        if not drops and all(t.layout is torch.strided and t.numel() < 3000 for t in tensors):
            found.append(s)
    if len(found) > n:
        found = [found[round(i * (len(found) - 1) / max(n - 1, 1))] for i in range(n)]
    return found


def array(t):
    t = t.detach()
    return (t.float() if "float16" in str(t.dtype) else t).resolve_conj().resolve_neg().numpy(force=True)


def differing(ours, theirs, tol):
    """None, or what is different between two lists of tensors."""
    if len(ours) != len(theirs):
        return f"{len(ours)} results, not {len(theirs)}"
    for a, b in zip(ours, theirs):
        a, b = array(a), array(b)
        if a.shape != b.shape:
            return f"shape {a.shape}, not {b.shape}"
        if a.dtype != b.dtype:
            return f"{a.dtype}, not {b.dtype}"
        if a.dtype.kind in "fc":
            scale = np.abs(np.where(np.isfinite(b), b, 0)).max(initial=1)
            if not np.allclose(a, b, rtol=tol, atol=tol * scale, equal_nan=True):
                return f"off by {np.nanmax(np.abs(a - b)):.3g}"
        elif not (a == b).all():
            return "other values"
    return None


def _function(f, tree, kind, where):
    """`f` of the tensors at positions `where` of the flattened arguments."""
    tensors = close_tensors(tree, kind, [])

    def call(*xs):
        values = list(tensors)
        for i, x in zip(where, xs):
            values[i] = x
        head, args, kwargs = rebuilt(tree, kind, iter(values))
        return f(head, *args, **kwargs)
    return call


def case_jvp(op, sample, fw, torch, seed=0):
    """'same', 'right' (PyTorch's differs from finite differences), 'skipped' or what is different about the tangent."""
    ours_fn, theirs_fn = resolve(op, fw, torch), resolve(op, torch, torch)
    tree = (sample.input, tuple(sample.args), dict(sample.kwargs))
    tensors = close_tensors(tree, torch.Tensor, [])
    where = [i for i, t in enumerate(tensors) if t.dtype.is_floating_point or t.dtype.is_complex]
    if ours_fn is None or not where:
        return "skipped"
    rng = np.random.default_rng(seed)
    tangents = []
    for i in where:
        t = rng.standard_normal(tuple(tensors[i].shape))
        if tensors[i].dtype.is_complex:
            t = t + 1j * rng.standard_normal(tuple(tensors[i].shape))
        tangents.append(torch.from_numpy(np.asarray(t)).to(tensors[i].dtype))

    def floats(f, kind):
        def call(*xs):
            out = close_tensors(f(*xs), kind, [])
            return tuple(o for o in out if o.dtype.is_floating_point or o.dtype.is_complex)
        return call
    torch.manual_seed(seed)
    try:
        ref = torch.func.jvp(floats(_function(theirs_fn, tree, torch.Tensor, where), torch.Tensor),
                             tuple(tensors[i].detach() for i in where), tuple(tangents))
    except Exception:
        return "skipped"
    if not ref[0]:
        return "skipped"
    fw.manual_seed(seed)
    try:
        mine = convert(tree, fw, torch)
        xs = close_tensors(mine, fw.Tensor, [])
        got = fw.func.jvp(floats(_function(ours_fn, mine, fw.Tensor, where), fw.Tensor),
                          tuple(xs[i] for i in where), tuple(convert(t, fw, torch) for t in tangents))
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    tol = 1e-7 if "64" in str(tensors[where[0]].dtype) else 1e-3
    wrong = differing(got[0], ref[0], tol)
    if wrong:
        return "value " + wrong
    wrong = differing(got[1], ref[1], tol * 10)
    if wrong is None:
        return "same"
    slopes = _slopes(floats(_function(theirs_fn, tree, torch.Tensor, where), torch.Tensor), tensors, where, tangents)
    return "right" if differing(got[1], slopes, 1e-4) is None else "tangent " + wrong


def _slopes(f, tensors, where, tangents, h=1e-6):
    """Central differences of PyTorch's function in the direction of the tangents."""
    up, down = (f(*[tensors[i].detach() + s * h * t for i, t in zip(where, tangents)]) for s in (1, -1))
    return [(a - b) / (2 * h) for a, b in zip(up, down)]


def case_vmap(op, sample, fw, torch, first_only, size=3):
    """'same', 'skipped' or what is different about mapping over new first dimensions."""
    ours_fn, theirs_fn = resolve(op, fw, torch), resolve(op, torch, torch)
    tree = (sample.input, tuple(sample.args), dict(sample.kwargs))
    tensors = close_tensors(tree, torch.Tensor, [])
    if ours_fn is None or not tensors:
        return "skipped"
    where = [0] if first_only else list(range(len(tensors)))
    batches = []
    for i in where:
        t = tensors[i].detach()
        real = t.dtype.is_floating_point or t.dtype.is_complex
        batches.append(torch.stack([t * (1 - 0.03 * k) if real else t for k in range(size)]))

    def flat(f, kind):
        return lambda *xs: tuple(close_tensors(f(*xs), kind, []))
    call = flat(_function(theirs_fn, tree, torch.Tensor, where), torch.Tensor)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.vmap(call)(*batches)
            parts = [call(*[b[k].clone() for b in batches]) for k in range(size)]
            ref = [torch.stack(p) for p in zip(*parts)]
    except Exception:
        return "skipped"
    if not ref:
        return "skipped"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine = convert(tree, fw, torch)
            got = fw.vmap(flat(_function(ours_fn, mine, fw.Tensor, where), fw.Tensor))(
                *[convert(b, fw, torch) for b in batches])
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    wrong = differing(got, ref, 1e-4)
    return "same" if wrong is None else wrong


def database():
    """The ops that have unique results."""
    operators = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db
    return [op for op in operators if not SKIP.match(op.name)]


def sweep(which, fw, torch, pattern=".*", n=4, stride=1, report=None):
    """Counts (same, different) over the database; `report` is called with each difference."""
    same = other = 0
    for op in database()[::stride]:
        name = op.name + ("." + op.variant_test_name if op.variant_test_name else "")
        if not re.search(pattern, name) or torch.float32 not in op.supported_dtypes("cpu"):
            continue
        if which == "jvp" and not op.supports_forward_ad:
            continue
        dtype = torch.float64 if which == "jvp" and torch.float64 in op.supported_dtypes("cpu") else torch.float32
        for k, s in enumerate(samples(op, torch, n, dtype)):
            if which == "jvp":
                found = [case_jvp(op, s, fw, torch)]
            else:
                found = [case_vmap(op, s, fw, torch, f) for f in (True, False)]
            for r in found:
                same += r in ("same", "right")
                if r == "right" and report:
                    report(name, k, "not PyTorch's tangent, but that of finite differences")
                if r not in ("same", "right", "skipped"):
                    other += 1
                    if report:
                        report(name, k, r)
    return same, other


def main():
    import torch

    import rushlight
    which = sys.argv[1] if len(sys.argv) > 1 else "vmap"
    pattern = sys.argv[2] if len(sys.argv) > 2 else ".*"
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    torch.set_num_threads(1)
    same, other = sweep(which, rushlight, torch, pattern, n,
                        report=lambda name, k, r: print(f"{name} [{k}] {r}", flush=True))
    print(f"{which}: {same} of {same + other} samples agree ({100 * same / max(same + other, 1):.2f} %)")


if __name__ == "__main__":
    main()
