"""Recurrent layers in the script language; sequences are padded ones."""


from __future__ import annotations

import rushlight as torch
from rushlight import Tensor

from .operators import aten as _aten


def _weights(module):
    return {"_flat_weights": list(module._flat_weights_names)}


class LSTM:
    _lists = staticmethod(_weights)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor,
                                                                                          tuple[Tensor, Tensor]]:
        if input.dim() != 2 and input.dim() != 3:
            raise ValueError(f"LSTM: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        batch_dim = 0 if self.batch_first else 1
        if not batched:
            input = input.unsqueeze(batch_dim)
        if hx is None:
            directions = 2 if self.bidirectional else 1
            width = self.proj_size if self.proj_size > 0 else self.hidden_size
            h = torch.zeros(self.num_layers * directions, input.size(batch_dim), width, dtype=input.dtype,
                            device=input.device)
            c = torch.zeros(self.num_layers * directions, input.size(batch_dim), self.hidden_size, dtype=input.dtype,
                            device=input.device)
        else:
            h, c = hx
            if batched:
                if h.dim() != 3 or c.dim() != 3:
                    raise RuntimeError("For batched 3-D input, hx and cx should also be 3-D but got "
                                       f"({h.dim()}-D, {c.dim()}-D) tensors")
            else:
                if h.dim() != 2 or c.dim() != 2:
                    raise RuntimeError("For unbatched 2-D input, hx and cx should also be 2-D but got "
                                       f"({h.dim()}-D, {c.dim()}-D) tensors")
                h = h.unsqueeze(1)
                c = c.unsqueeze(1)
        if self.input_size != input.size(-1):
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                               f"{input.size(-1)}")
        output, hn, cn = _aten.lstm(input, [h, c], self._flat_weights, self.bias, self.num_layers, self.dropout,
                                    self.training, self.bidirectional, self.batch_first)
        if not batched:
            output = output.squeeze(batch_dim)
            hn = hn.squeeze(1)
            cn = cn.squeeze(1)
        return output, (hn, cn)


def _prepared(input: Tensor, hx: Tensor | None, batch_first: bool, layers: int, hidden_size: int,
              input_size: int) -> tuple[Tensor, Tensor, bool]:
    """The input with a batch, the first states, and whether there was a batch."""
    if input.dim() != 2 and input.dim() != 3:
        raise ValueError(f"Expected input to be 2D or 3D, got {input.dim()}D instead")
    batched = input.dim() == 3
    if batch_first:
        batch_dim = 0
    else:
        batch_dim = 1
    if not batched:
        input = input.unsqueeze(batch_dim)
    if hx is None:
        state = torch.zeros(layers, input.size(batch_dim), hidden_size, dtype=input.dtype, device=input.device)
    elif batched:
        if hx.dim() != 3:
            raise RuntimeError(f"For batched 3-D input, hx should also be 3-D but got {hx.dim()}-D tensor")
        state = hx
    else:
        if hx.dim() != 2:
            raise RuntimeError(f"For unbatched 2-D input, hx should also be 2-D but got {hx.dim()}-D tensor")
        state = hx.unsqueeze(1)
    if input_size != input.size(-1):
        raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {input_size}, got {input.size(-1)}")
    return input, state, batched


class GRU:
    _lists = staticmethod(_weights)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        layers = self.num_layers * (2 if self.bidirectional else 1)
        input, state, batched = _prepared(input, hx, self.batch_first, layers, self.hidden_size, self.input_size)
        output, hidden = _aten.gru(input, state, self._flat_weights, self.bias, self.num_layers, self.dropout,
                                   self.training, self.bidirectional, self.batch_first)
        if not batched:
            output = output.squeeze(0 if self.batch_first else 1)
            hidden = hidden.squeeze(1)
        return output, hidden


class RNN:
    _lists = staticmethod(_weights)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        layers = self.num_layers * (2 if self.bidirectional else 1)
        input, state, batched = _prepared(input, hx, self.batch_first, layers, self.hidden_size, self.input_size)
        if self.mode == "RNN_TANH":
            output, hidden = _aten.rnn_tanh(input, state, self._flat_weights, self.bias, self.num_layers, self.dropout,
                                            self.training, self.bidirectional, self.batch_first)
        else:
            output, hidden = _aten.rnn_relu(input, state, self._flat_weights, self.bias, self.num_layers, self.dropout,
                                            self.training, self.bidirectional, self.batch_first)
        if not batched:
            output = output.squeeze(0 if self.batch_first else 1)
            hidden = hidden.squeeze(1)
        return output, hidden


class LSTMCell:
    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if input.dim() != 1 and input.dim() != 2:
            raise ValueError(f"LSTMCell: Expected input to be 1D or 2D, got {input.dim()}D instead")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
        if hx is None:
            h = torch.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
            c = h
        else:
            h, c = hx
            if not batched:
                h = h.unsqueeze(0)
                c = c.unsqueeze(0)
        h, c = _aten.lstm_cell(input, [h, c], self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if not batched:
            h = h.squeeze(0)
            c = c.squeeze(0)
        return h, c


class GRUCell:
    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
        if hx is None:
            h = torch.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
        elif batched:
            h = hx
        else:
            h = hx.unsqueeze(0)
        out = _aten.gru_cell(input, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if not batched:
            out = out.squeeze(0)
        return out


class RNNCell:
    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
        if hx is None:
            h = torch.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
        elif batched:
            h = hx
        else:
            h = hx.unsqueeze(0)
        if self.nonlinearity == "tanh":
            out = _aten.rnn_tanh_cell(input, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        else:
            out = _aten.rnn_relu_cell(input, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if not batched:
            out = out.squeeze(0)
        return out
