"""Write ``docs/op_coverage.md``: public names and their forms, the op table, and what PyTorch has besides.

    python tools/make_coverage.py             write the page
    python tools/make_coverage.py --check     exit 1, with the difference, where the page is not current
    python tools/make_coverage.py --names     list PyTorch's documented names anew (needs PyTorch 2.13)

The page is made from the op table and the registry of public names only, so it is the same on every
machine. PyTorch's names come from ``tools/pytorch_2_13_names.txt``, dtypes from ``tools/op_dtypes.txt``.
"""

import argparse
import difflib
import importlib
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "op_coverage.md"
NAMES = ROOT / "tools" / "pytorch_2_13_names.txt"
DTYPES = ROOT / "tools" / "op_dtypes.txt"

# Namespaces of functions that get a table each.
TABLES = ("torch.nn.functional", "torch.linalg", "torch.special", "torch.fft")

# Namespaces whose documented names are compared with PyTorch's.
COMPARED = (
    "torch", "torch.Tensor", "torch.linalg", "torch.special", "torch.fft", "torch.signal.windows", "torch.random",
    "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.nn.utils.rnn",
    "torch.nn.utils.parametrize", "torch.nn.utils.parametrizations", "torch.nn.utils.prune",
    "torch.autograd", "torch.autograd.functional", "torch.autograd.graph", "torch.func",
    "torch.optim", "torch.optim.lr_scheduler", "torch.optim.swa_utils",
    "torch.utils.data", "torch.utils.checkpoint", "torch.distributions", "torch.amp", "torch.sparse", "torch.masked",
    "torch.testing", "torch.library", "torch.overrides", "torch.nested", "torch.jit", "torch.onnx", "torch.profiler",
    "torch.distributed",
)
# Where the classes of PyTorch's own compilers and bindings live.
_MACHINERY = ("torch._C._", "torch._ops", "torch._classes", "torch._sources", "torch._jit")


def resolve(name, root):
    """The object that ``torch.a.b`` names in the package `root`; AttributeError if there is none."""
    parts = name.split(".")[1:]
    found = importlib.import_module(root)
    for i, part in enumerate(parts):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(".".join([root, *parts[:i + 1]]))
            except ModuleNotFoundError as error:
                if not (error.name or "").startswith(root):
                    raise
                raise AttributeError(name) from None
    return found


# ---------------------------------------------------------------- PyTorch's names

def documented(namespace):
    """Names in PyTorch's `namespace` that have a docstring and are its own: functions, classes, attributes."""
    space = resolve(namespace, "torch")
    listed = getattr(space, "__all__", None) if namespace != "torch" else None
    names = []
    for name in dir(space):
        value = getattr(space, name)
        if name.startswith("_") or type(value).__name__ == "module":
            continue
        if namespace != "torch.Tensor" and not callable(value):
            continue
        doc = getattr(value, "__doc__", None)
        if not isinstance(doc, str) or not doc.strip():
            continue
        if namespace != "torch.Tensor" and not (listed is not None and name in listed):
            home = getattr(value, "__module__", None) or namespace
            builtin = type(value).__name__ == "builtin_function_or_method" and home.startswith("torch")
            if not builtin and (home != namespace if listed is not None else not home.startswith(namespace)):
                continue
            # Bindings without a text of their own, and the compiler's classes, are no part of the documentation.
            signature = "\n" not in doc.strip() and " -> " in doc and doc.startswith(name + "(")
            if signature or name.startswith("has_torch_function"):
                continue
            if isinstance(value, type) and home.startswith(_MACHINERY):
                continue
        names.append(name)
    return names


def write_names():
    import torch
    if not torch.__version__.startswith("2.13"):
        raise SystemExit(f"the list is PyTorch 2.13's; this is {torch.__version__}")
    lines = [f"{space}.{name}" for space in COMPARED for name in documented(space)]
    NAMES.write_text("\n".join(sorted(set(lines))) + "\n")
    print(f"{NAMES.relative_to(ROOT)}: {len(set(lines))} names")


# ---------------------------------------------------------------- tables of names

def takes_out(function):
    """Whether a public function has ``out=``, by name or among its keywords."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    named = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    return "out" in named or bool(code.co_flags & 0x08) and "out" in code.co_consts


def takes_inplace(function):
    code = getattr(function, "__code__", None)
    return code is not None and "inplace" in code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]


def tick(yes):
    return "✓" if yes else ""


def table(heads, rows):
    yield "| " + " | ".join(heads) + " |"
    yield "| " + " | ".join("---" for _ in heads) + " |"
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def code(text):
    return f"`{text}`" if text else ""


def base_names(names):
    """`names` without the in-place ones that belong to another, sorted."""
    return sorted(n for n in names if not (n.endswith("_") and n[:-1] in names))


def names_section(registry, tensor):
    torch = registry.FUNCTIONS["torch"]
    methods = {n for n in {*dir(tensor), *registry.METHODS} if not n.startswith("_")}
    functions = {n for n in torch if not n.startswith("_")}
    rows = []
    for n in base_names(functions | methods):
        change = n + "_"
        rows.append((code(n), tick(n in torch), tick(n in methods),
                     " ".join(filter(None, ("method" if change in methods else "",
                                            "function" if change in torch else ""))),
                     tick(n in torch and takes_out(torch[n]))))
    yield "## Functions of `torch` and methods of `Tensor`"
    yield ""
    yield (f"{len(functions)} functions and {len(methods)} methods and attributes. In-place: `x.name_()` (method), "
           "`torch.name_(x)` (function). Operators (`+`, `@`, indexing) are these functions.")
    yield ""
    yield from table(("name", "function", "Tensor", "in-place", "`out=`"), rows)
    for space in TABLES:
        found = registry.FUNCTIONS[space]
        yield ""
        yield f"## `{space}`"
        yield ""
        own = {n for n in found if not n.startswith("_")}
        rows = []
        for n in base_names(own):
            form = [f"`{n}_`"] if n + "_" in found else []
            form += ["`inplace=`"] if takes_inplace(found[n]) else []
            rows.append((code(n), " ".join(form), tick(takes_out(found[n]))))
        yield f"{len(own)} functions."
        yield ""
        yield from table(("function", "in-place", "`out=`"), rows)


# ---------------------------------------------------------------- the op table

def gradient(record, record_module):
    """How the record gets its gradient, in words."""
    rule = record.vjp
    if isinstance(rule, record_module.NoGradient):
        return f"{'not implemented' if rule.raises else 'none'}: {rule.reason}"
    if rule is None:
        return "derived"
    if isinstance(rule, record_module.Joint):
        return "written, joint"
    inputs = [record.args[i].name for i in record.tensor_args]
    # A rule that only raises says that a derivative exists and nobody has it.
    raising = [n for n in inputs if n in rule and rule[n].__code__.co_names == ("NotImplementedError",)]
    missing = [n for n in inputs if n not in rule]
    notes = [f"{word} {', '.join(names)}" for word, names in (("not implemented for", raising), ("not for", missing))
             if names]
    return "written" + (f" ({'; '.join(notes)})" if notes else "")


def second_order(record, record_module):
    """Whether gradients can be differentiated again: rules are tensor ops, unless one says that it isn't."""
    rule = record.vjp
    if isinstance(rule, record_module.NoGradient) or rule == {}:
        return ""
    return "✓"


def forward_mode(record, record_module, rules):
    """How tangents are found, in words."""
    rule = record.vjp
    if record.schema.partition("(")[0] in rules or record.jvp is not None:
        return "rule"
    if isinstance(rule, record_module.NoGradient) or rule == {}:
        return ""
    if record.kind == "view":
        return "itself"
    if record.kind == "pointwise" and not isinstance(rule, record_module.Joint):
        return "derived"
    return "by gradients"


def shapes(record):
    """How sizes of results on ``meta`` tensors are found."""
    if record.meta is not None:
        return "rule"
    return {"kernel": "kernel on zeros", "view": "geometry", "pointwise": "broadcast"}.get(record.kind, "broadcast")


def reference(record):
    found = record.reference
    if found is None:
        return ""
    text = found if isinstance(found, str) else getattr(found, "__name__", type(found).__name__)
    return code(text if "." in text else f"numpy.{text}")


# Dtypes that are listed together.
GROUPS = {"integers": ("uint8", "int8", "int16", "int32", "int64"), "floats": ("float16", "bfloat16", "float32",
                                                                               "float64")}


def grouped(names):
    """Names of dtypes in words."""
    for word, members in GROUPS.items():
        if set(members) <= set(names):
            at = names.index(members[0])
            names = [n for n in names if n not in members]
            names.insert(at, word)
    return ", ".join(names)


# Why a dtype that PyTorch takes is refused by the sample, where that isn't a gap.
REFUSED = {
    "nn.functional.triplet_margin_with_distance_loss": "the sample's distance is PyTorch's own module",
    "sparse.mm": "the sample's tensors are sparse; see `tests/oracle/test_sparse.py`",
}


def dtypes_section():
    rows = []
    for line in DTYPES.read_text().splitlines():
        taken, _, refused = line.partition(" - ")
        name, *taken = taken.split()
        reason = REFUSED.get(name)
        rows.append((code(name), "" if reason else grouped(taken), reason or grouped(refused.split())))
    yield "## Dtypes"
    yield ""
    yield (f"The {len(rows)} ops of PyTorch's sample database that are here, and the dtypes whose samples they take "
           "(`python tools/make_dtypes.py`), of those that PyTorch takes on CPUs.")
    yield ""
    yield from table(("op", "dtypes", "not taken"), rows)


def exported(record, key, mapping):
    """How the record becomes ONNX."""
    rule = mapping(key)
    if rule is None:
        return ""
    return "from its formula" if rule.__module__.endswith(".formulas") else "written"


def op_section(record_module):
    records = {k: r for k, r in record_module.RECORDS.items() if not k.startswith("_derived")}
    from rushlight.func.forward import rules
    from rushlight.func.rules import rule_for
    from rushlight.onnx.mappings import mapping
    rows, words, kinds, forward, batches, graphs = [], Counter(), Counter(), Counter(), Counter(), Counter()
    for key in sorted(records):
        r = records[key]
        how = gradient(r, record_module)
        words[how.split(":")[0].split(",")[0].split(" (")[0]] += 1
        kinds[r.kind] += 1
        samples = r.samples if r.samples is None or isinstance(r.samples, str) else "own"
        ahead = forward_mode(r, record_module, rules())
        batch = "rule" if rule_for(r) is not None else "loop"
        forward[ahead or "none"] += 1
        batches[batch] += 1
        graph = exported(r, key, mapping)
        graphs[graph] += 1
        rows.append((code(key), r.kind, how, shapes(r), reference(r), samples or "", second_order(r, record_module),
                     ahead, batch, graph))
    yield "## The op table"
    yield ""
    yield (f"{len(rows)} records: " + ", ".join(f"{n} {k}" for k, n in sorted(kinds.items())) + ". Gradients: "
           + ", ".join(f"{n} {k}" for k, n in sorted(words.items())) + ". Forward mode: "
           + ", ".join(f"{n} {k}" for k, n in sorted(forward.items())) + ". Under `vmap`: "
           + ", ".join(f"{n} by {k}" for k, n in sorted(batches.items())) + f". ONNX: {graphs['written']} written, "
           f"{graphs['from its formula']} from their formulas, {graphs['']} without (backward passes, and what ONNX "
           "has no operators for: export names it).")
    yield ""
    yield ("*Derived* gradients come from the formula; *written* ones are rules beside the kernel, *not for* inputs "
           "such as indices (an op that is written in terms of other ops needs no record). *None* says why there is "
           "nothing to differentiate; *not implemented* raises `NotImplementedError` in `backward`. *Meta* tells how "
           "results on the `meta` device get their sizes. *Reference* and *samples* name the NumPy or SciPy function "
           "and the inputs with which the table's own tests check the record; the others are tested by files of "
           "their own. *Second order*: the gradient can be differentiated again. *Forward mode*: a *rule*, *derived* "
           "from the formula, the view *itself*, or *by gradients*: the gradient rule differentiated with respect to "
           "its incoming gradient. *vmap*: a batching *rule*, or a *loop* over samples. *ONNX*: nodes *written* by "
           "a mapping, or made from the record's *formula*. Compiled programs run all records. Kernels for GPUs (CUDA) "
           "are not there yet: no record has one.")
    yield ""
    yield from table(("record", "kind", "gradient", "meta", "reference", "samples", "second order", "forward mode",
                      "vmap", "ONNX"), rows)


# ---------------------------------------------------------------- what is missing

def missing_section():
    spaces = {}
    for line in NAMES.read_text().split():
        space, _, name = line.rpartition(".")
        spaces.setdefault(space, []).append(line)
    counts, lacking = [], {}
    for space in COMPARED:
        names = spaces[space]
        absent = [n for n in names if not present(n)]
        counts.append((code(space), len(names), len(names) - len(absent), len(absent)))
        if absent:
            lacking[space] = absent
    total = [sum(column) for column in list(zip(*counts))[1:]]
    yield "## Documented PyTorch 2.13 names that are missing"
    yield ""
    yield ("A name counts as present when it can be looked up; whether it takes every argument is for the tests to "
           "say. Using a missing name raises `AttributeError`.")
    yield ""
    yield from table(("namespace", "documented", "present", "missing"), [*counts, ("all", *total)])
    for space, absent in lacking.items():
        yield ""
        yield f"**{code(space)}** ({len(absent)}): " + "; ".join(
            code(n.rpartition(".")[2]) + (f", {MISSING[n]}" if n in MISSING else "") for n in absent)


# Why documented names are missing.
MISSING = {
    "torch.AggregationType": "of parameter servers, which went with `torch.distributed.rpc`",
    "torch.DispatchKey": "of PyTorch's dispatcher, for which there is no counterpart",
    "torch.ScriptFunction": "the same class is `torch.jit.ScriptFunction`",
    "torch.Tag": "of PyTorch's dispatcher",
    "torch.init_num_threads": "threads need no preparation; `set_num_threads` sets their number",
    "torch.thread_safe_generator": "every worker of a DataLoader has a generator of its own",
    "torch.Tensor.index": "documented by name only; indexing is `x[...]`",
    "torch.Tensor.to_mkldnn": "layouts of oneDNN",
    "torch.nn.functional.native_channel_shuffle": "an inner name of `channel_shuffle`",
    "torch.autograd.is_view_replay_enabled": "of ahead-of-time compilation",
    "torch.autograd.graph.region_activation_memory_budget": "of ahead-of-time compilation",
    "torch.overrides.get_default_nowrap_functions": "properties are never wrapped",
    "torch.distributed.breakpoint": "a debugger for one rank among several",
}


# What is there and doesn't do as PyTorch does, with the reason.
DIFFERENCES = (
    ("`as_strided_scatter`", "the gradient of `input` is zero where `src` was written; PyTorch 2.13 returns it the "
                             "other way round"),
    ("`special.bessel_j0`, `bessel_y1` of float64", "as accurate as SciPy's; PyTorch's are off by up to 3e-7 near 5.5"),
    ("`addbmm_`", "doesn't resize the tensor it writes"),
    ("`arange`, `linspace`, `logspace` with `out=`", "`out` of another type than `dtype` is converted, where PyTorch "
                                                     "refuses"),
    ("`bmm`, `mv`, `tril`, `triu`, `histc` with `out=`", "`out` whose elements share memory is refused, where PyTorch "
                                                         "writes it"),
)


def differences_section():
    yield "## Where results differ from PyTorch 2.13's"
    yield ""
    yield from table(("what", "how and why"), DIFFERENCES)


def present(name):
    try:
        resolve(name, "rushlight")
    except AttributeError:
        return False
    return True


def page():
    """The text of docs/op_coverage.md."""
    sys.path.insert(0, str(ROOT / "src"))
    from rushlight import Tensor, record
    from rushlight.ops import registry
    registry.load()
    lines = ["# Op coverage", "",
             "Made by `python tools/make_coverage.py` from the op table; `tests/test_docs.py` checks that it is "
             "current.", ""]
    lines += [*names_section(registry, Tensor), "", *dtypes_section(), "", *op_section(record), "",
              *differences_section(), "", *missing_section()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    parser.add_argument("--names", action="store_true", help="list PyTorch's documented names anew")
    options = parser.parse_args()
    if options.names:
        write_names()
        return 0
    text = page()
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    have = PAGE.read_text(encoding="utf-8").splitlines()
    changes = list(difflib.unified_diff(have, text.splitlines(), "docs/op_coverage.md", "op table", lineterm="", n=0))
    print("\n".join(changes[:40]))
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
