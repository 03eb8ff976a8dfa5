"""Show a pointwise kernel at each stage: formula, expression, derivative, LLVM IR, assembly.

    python tools/show_kernel.py "s.where(x * w + b > 0, x * w + b, 0.0)" [--dtype float64] [--all]

Names other than ``s`` (the functions formulas are made of) are inputs, in the order of their first use. Of IR and
assembly only the loop over whole vectors is shown, unless ``--all`` asks for the rest. RUSHLIGHT_CPU=avx2 shows the
code for a lesser CPU.
"""

import argparse
import ast
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src"))


def inputs(text):
    """Names in a formula, in the order of their first use."""
    names = [n for n in ast.walk(ast.parse(text, mode="eval")) if isinstance(n, ast.Name) and n.id != "s"]
    names.sort(key=lambda n: (n.lineno, n.col_offset))
    return list(dict.fromkeys(n.id for n in names))


def working_loop(lines, is_label, is_work):
    """The lines of the block that does the work; of two, one that jumps back to itself."""
    blocks, block = [], []
    for line in lines:
        if is_label(line) and block:
            blocks.append(block)
            block = []
        block.append(line)
    blocks.append(block)

    def merit(block):
        name = block[0].rstrip(":")
        return sum(map(is_work, block)), any(line.endswith(name) for line in block[1:]), -len(block)

    return max(blocks, key=merit)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("formula")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--all", action="store_true", help="whole functions instead of the inner loop")
    options = parser.parse_args()

    from rushlight.compiler import derivative, engine, pointwise, to_text, trace
    from rushlight.compiler import scalar as s

    names = inputs(options.formula)
    function = eval(f"lambda {', '.join(names)}: {options.formula}", {"s": s})
    outputs = trace(function, "f" * len(names))
    print(f"expression\n  {to_text(outputs)}".replace("; ", "\n  "))
    for i, name in enumerate(names):
        slope = derivative(outputs[0], s.input(i))
        print(f"\nderivative by {name}\n  {to_text([slope]) if slope is not None else '0'}".replace("; ", "\n  "))
    compute = "float64" if options.dtype == "float64" else "float32"
    text = pointwise.inner_loop(outputs, [options.dtype] * len(names), [], [options.dtype], compute, False)
    code = engine.assembly(text)
    if options.all:
        print(f"\nLLVM IR\n{text}\nassembly\n{code}")
        return
    vector = re.compile(r" = (load|f\w+(?: \w+)?|select|bitcast|\w+shr|shl|and|or|add|sub|call) <| store <")
    body = working_loop(text.splitlines(), lambda x: x.endswith(":"), lambda x: bool(vector.search(x)))
    print("\nLLVM IR, the loop's body\n" + "\n".join(x for x in body if vector.search(x)))
    lines = [x for x in code.splitlines() if not x.startswith(("\t.", "\t#"))]
    registers = re.compile(r"%[xyz]mm|\bv\d+\.|\bq\d+\b")
    body = working_loop(lines, lambda x: x.startswith(".LBB"), lambda x: bool(registers.search(x)))
    print("\nassembly, the loop\n" + "\n".join(body).expandtabs(8))


if __name__ == "__main__":
    main()
