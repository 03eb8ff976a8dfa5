"""Write a checkpoint with one library and read it with the other.

    python examples/checkpoint_interchange.py write model.pth
    python examples/checkpoint_interchange.py read model.pth --library torch

The script is the same for both. Checkpoints hold the model and the optimizer; reading loads no code
(``weights_only=True``), checks the outputs that were saved along, and trains one step on.
"""

import argparse
import importlib


def build(torch):
    """A model and its optimizer, and inputs to compare by."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.LayerNorm(32), torch.nn.ReLU(),
                                torch.nn.Linear(32, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return model, optimizer, torch.randn(8, 16)


def step(model, optimizer, inputs):
    """One training step towards small outputs; returns the loss."""
    optimizer.zero_grad()
    loss = model(inputs).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def write(torch, path):
    """Train three steps and save the model, the optimizer, inputs and their outputs."""
    model, optimizer, inputs = build(torch)
    for _ in range(3):
        step(model, optimizer, inputs)
    with torch.no_grad():
        outputs = model(inputs)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "inputs": inputs,
                "outputs": outputs, "steps": 3}, path)
    print(f"{path}: written after 3 steps")


def read(torch, path):
    """Load what ``write`` saved, compare the outputs, train a step on."""
    saved = torch.load(path, weights_only=True)
    model, optimizer, _ = build(torch)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    with torch.no_grad():
        difference = (model(saved["inputs"]) - saved["outputs"]).abs().max().item()
    print(f"{path}: read; outputs differ by at most {difference:.1e} from the saved ones")
    if difference > 1e-5:
        raise SystemExit("the outputs are not those of the saved model")
    print(f"loss of step {saved['steps'] + 1}: {step(model, optimizer, saved['inputs']):.6f}")


def main():
    """Read the command line and write or read."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("action", choices=("write", "read"))
    parser.add_argument("path", help="the checkpoint")
    parser.add_argument("--library", choices=("rushlight", "torch"), default="rushlight",
                        help="who does it; torch needs PyTorch (default: %(default)s)")
    options = parser.parse_args()
    torch = importlib.import_module(options.library)
    (write if options.action == "write" else read)(torch, options.path)


if __name__ == "__main__":
    main()
