"""Calls of the functions of neural networks on small float64 operands, for any implementation.

A case: (expression, operand shapes or values). Operands are ``a, b, c ...``; those given as shapes hold
random numbers and want gradients, those given as nested lists are constants.
"""

import string

import numpy as np

CASES = [line.split("|") for line in """
F.conv1d(a, b, c)|(2,4,7) (3,4,3) (3,)
F.conv1d(a, b, None, stride=2, padding=1, dilation=2)|(2,2,9) (3,2,3)
F.conv1d(a, b, padding='same')|(1,2,6) (2,2,4)
F.conv1d(a[0], b)|(1,2,6) (2,2,3)
F.conv2d(a, b, c)|(2,2,5,4) (3,2,3,2) (3,)
F.conv2d(a, b, c, stride=(2,1), padding=(1,2), dilation=(1,2))|(1,2,6,5) (3,2,3,2) (3,)
F.conv2d(a, b, c, padding=1, groups=2)|(1,4,4,4) (6,2,3,3) (6,)
F.conv2d(a, b, padding=1, groups=3)|(2,3,4,4) (3,1,3,3)
F.conv2d(a, b, padding='same')|(1,1,5,5) (2,1,3,2)
F.conv2d(a, b, padding='valid')|(1,1,4,4) (2,1,3,3)
F.conv2d(a, b, bias=c)|(2,3,3,3) (4,3,1,1) (4,)
F.conv3d(a, b, c, padding=1, stride=2)|(1,2,3,4,3) (2,2,2,3,2) (2,)
F.conv_transpose1d(a, b, c, stride=2, padding=1, output_padding=1)|(2,3,4) (3,2,3) (2,)
F.conv_transpose2d(a, b, c, stride=2, padding=1)|(1,2,3,3) (2,3,3,3) (3,)
F.conv_transpose2d(a, b, groups=2, dilation=2)|(1,4,3,3) (4,2,2,2)
F.conv_transpose3d(a, b)|(1,2,2,2,2) (2,2,2,2,2)
F.linear(a, b, c)|(2,3,4) (5,4) (5,)
F.linear(a, b)|(4,) (3,4)
F.bilinear(a, b, c, d)|(2,3) (2,4) (5,3,4) (5,)
F.max_pool1d(a, 3, 2)|(2,2,8)
F.max_pool2d(a, 2)|(1,2,4,5)
F.max_pool2d(a, 3, stride=2, padding=1, dilation=1, ceil_mode=True)|(2,1,6,5)
F.max_pool2d(a, 2, return_indices=True)|(1,2,4,4)
F.max_pool3d(a, 2)|(1,1,4,4,2)
F.avg_pool1d(a, 3, 2, 1)|(2,2,7)
F.avg_pool2d(a, 2)|(1,2,4,5)
F.avg_pool2d(a, (3,2), stride=(2,1), padding=1, ceil_mode=True, count_include_pad=False)|(2,1,6,5)
F.avg_pool2d(a, 2, divisor_override=3)|(1,1,4,4)
F.avg_pool3d(a, 2)|(1,1,4,4,2)
F.lp_pool1d(a, 2, 3)|(1,2,7)
F.lp_pool2d(a * a + 0.1, 3, 2)|(1,2,4,4)
F.adaptive_avg_pool1d(a, 3)|(2,2,7)
F.adaptive_avg_pool2d(a, (3, 2))|(1,2,5,4)
F.adaptive_avg_pool2d(a, 1)|(2,3,4,4)
F.adaptive_avg_pool3d(a, (2, 1, 2))|(1,1,4,3,5)
F.adaptive_max_pool1d(a, 3)|(2,2,7)
F.adaptive_max_pool2d(a, (3, 2))|(1,2,5,4)
F.max_unpool2d(*F.max_pool2d(a, 2, return_indices=True), 2)|(1,2,4,4)
F.batch_norm(a, None, None, b, c, training=True)|(4,3,2) (3,) (3,)
F.batch_norm(a, None, None, training=True, eps=0.1)|(3,2,2,2)
F.batch_norm(a, m, v, b, c, training=False)|(4,3) (3,) (3,)
F.instance_norm(a, weight=b, bias=c)|(2,3,4) (3,) (3,)
F.layer_norm(a, (4,), b, c)|(3,4) (4,) (4,)
F.layer_norm(a, (2, 3), None, None, 1e-3)|(2,2,3)
F.rms_norm(a, (4,), b, 1e-5)|(3,4) (4,)
F.group_norm(a, 2, b, c)|(2,4,3) (4,) (4,)
F.local_response_norm(a, 3)|(1,5,3)
F.normalize(a)|(3,4)
F.normalize(a, p=3, dim=0)|(3,4)
F.mse_loss(a, b)|(3,4) (3,4)
F.mse_loss(a, b, reduction='none')|(3,2) (3,2)
F.l1_loss(a, b, reduction='sum')|(3,4) (3,4)
F.smooth_l1_loss(a, b, beta=0.4)|(3,4) (3,4)
F.huber_loss(a, b, delta=0.5)|(3,4) (3,4)
F.soft_margin_loss(a, sign)|(3,)
F.binary_cross_entropy(a.sigmoid(), p)|(3,)
F.binary_cross_entropy(a.sigmoid(), b.sigmoid(), weight=m)|(3,) (3,)
F.binary_cross_entropy_with_logits(a, p, pos_weight=v, weight=m)|(3,)
F.binary_cross_entropy_with_logits(a, b.sigmoid(), reduction='sum')|(3,) (3,)
F.cross_entropy(a, i)|(3,5)
F.cross_entropy(a, i, weight=w5, label_smoothing=0.2)|(3,5)
F.cross_entropy(a, i, ignore_index=4, reduction='none')|(3,5)
F.cross_entropy(a, b.softmax(1))|(3,5) (3,5)
F.cross_entropy(a, i22)|(2,3,2)
F.nll_loss(a.log_softmax(1), i, weight=w5, reduction='sum')|(3,5)
F.nll_loss(a, i22, ignore_index=2)|(2,3,2)
F.kl_div(a.log_softmax(1), b.softmax(1), reduction='batchmean')|(3,4) (3,4)
F.kl_div(a.log_softmax(1), b.log_softmax(1), log_target=True, reduction='sum')|(3,4) (3,4)
F.poisson_nll_loss(a, b.exp(), full=False)|(3,) (3,)
F.gaussian_nll_loss(a, b, c.exp(), full=True)|(4,) (4,) (4,)
F.hinge_embedding_loss(a, sign, margin=0.5)|(3,)
F.margin_ranking_loss(a, b, sign, margin=0.3)|(3,) (3,)
F.cosine_embedding_loss(a, b, sign, margin=0.1)|(3,4) (3,4)
F.triplet_margin_loss(a, b, c, margin=2.0, swap=True)|(3,4) (3,4) (3,4)
F.multi_margin_loss(a, i, margin=0.7, weight=w5)|(3,5)
F.multilabel_margin_loss(a, ml)|(2,4)
F.multilabel_soft_margin_loss(a, p4)|(2,4)
F.ctc_loss(a.log_softmax(2), t, (5, 4), (2, 1))|(5,2,4)
F.ctc_loss(a.log_softmax(2), t, (5, 4), (2, 1), blank=3, reduction='none')|(5,2,4)
F.pairwise_distance(a, b, p=3, keepdim=True)|(3,4) (3,4)
F.cosine_similarity(a, b)|(3,4) (3,4)
torch.cdist(a, b)|(2,3,4) (2,5,4)
F.pdist(a)|(4,3)
F.embedding(i, a)|(5,3)
F.embedding(i, a, padding_idx=1)|(5,3)
F.embedding_bag(i22, a, mode='mean')|(5,3)
F.embedding_bag(i, a, offs, mode='sum', per_sample_weights=b)|(5,3) (3,)
F.embedding_bag(i22, a, mode='max')|(5,3)
F.one_hot(i, 5)|
F.softmax(a, 0)|(3,4)
F.log_softmax(a, -1)|(3,4)
F.softmin(a, 1)|(3,4)
F.glu(a)|(3,4)
F.gelu(a, approximate='tanh')|(3,4)
F.prelu(a, b)|(2,3,2) (3,)
F.scaled_dot_product_attention(a, b, c)|(2,3,4) (2,5,4) (2,5,3)
F.scaled_dot_product_attention(a, b, c, is_causal=True)|(1,2,3,4) (1,2,3,4) (1,2,3,4)
F.scaled_dot_product_attention(a, b, c, attn_mask=mask, scale=0.3)|(2,3,4) (2,3,4) (2,3,4)
F.scaled_dot_product_attention(a, b, c, attn_mask=d)|(2,3,4) (2,3,4) (2,3,4) (3,3)
F.interpolate(a, scale_factor=2)|(1,2,3)
F.interpolate(a, size=(5, 2), mode='nearest-exact')|(1,2,3,4)
F.interpolate(a, size=7, mode='linear')|(1,2,3)
F.interpolate(a, scale_factor=1.7, mode='bilinear')|(1,1,4,3)
F.interpolate(a, size=(5, 7), mode='bilinear', align_corners=True)|(1,2,3,4)
F.interpolate(a, size=(2, 2), mode='bilinear', antialias=True)|(1,1,5,6)
F.interpolate(a, size=(6, 5), mode='bicubic')|(1,1,4,4)
F.interpolate(a, size=(4, 3, 2), mode='trilinear')|(1,1,2,2,3)
F.interpolate(a, size=3, mode='area')|(1,1,7)
F.grid_sample(a, b.tanh(), align_corners=False)|(1,2,4,4) (1,3,3,2)
F.grid_sample(a, b, padding_mode='reflection', align_corners=True)|(1,2,4,4) (1,3,3,2)
F.grid_sample(a, b, mode='bicubic', padding_mode='border', align_corners=False)|(1,1,4,4) (1,2,3,2)
F.grid_sample(a, b, mode='nearest', align_corners=False)|(1,1,4,4) (1,2,3,2)
F.affine_grid(a, (2, 1, 3, 4), align_corners=False)|(2,2,3)
F.pixel_shuffle(a, 2)|(1,8,2,3)
F.pixel_unshuffle(a, 2)|(1,2,4,6)
F.channel_shuffle(a, 2)|(1,4,2,2)
F.unfold(a, (2, 3), padding=1, stride=2)|(1,2,5,4)
F.fold(a, (4, 5), (2, 2))|(1,8,12)
F.pad(a, (1, 2))|(2,3)
F.pad(a, (1, 2, 2, 1), mode='reflect')|(1,2,4,4)
F.pad(a, (1, 2), mode='replicate')|(1,2,4)
F.pad(a, (1, 2), mode='circular')|(1,2,4)
torch.lstm_cell(a, (b, c), d, e)|(2,3) (2,2) (2,2) (8,3) (8,2)
torch.gru_cell(a, b, c, d)|(2,3) (2,2) (6,3) (6,2)
torch.rnn_tanh_cell(a, b, c, d)|(2,3) (2,2) (2,3) (2,2)
""".strip().splitlines()]

ERRORS = """
F.conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 4, 3, 3))
F.conv2d(torch.ones(1, 3, 2, 2), torch.ones(2, 3, 3, 3))
F.conv2d(torch.ones(3, 4), torch.ones(2, 3, 3, 3))
F.conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3), torch.ones(3))
F.conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3), stride=0)
F.conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3), padding=-1)
F.conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3), groups=2)
F.conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3), padding='same', stride=2)
F.conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3).double())
F.conv1d(torch.ones(1, 3, 4), torch.ones(2, 3, 3), padding='wrong')
F.linear(torch.ones(2, 3), torch.ones(4, 5))
F.max_pool2d(torch.ones(1, 1, 4, 4), 2, padding=2)
F.max_pool2d(torch.ones(1, 1, 2, 2), 3)
F.max_pool2d(torch.ones(4), 2)
F.avg_pool2d(torch.ones(1, 1, 4, 4), 2, padding=2)
F.avg_pool2d(torch.ones(1, 1, 4, 4), 2, divisor_override=0)
F.adaptive_avg_pool2d(torch.ones(4), 2)
F.batch_norm(torch.ones(1, 3), None, None, training=True)
F.batch_norm(torch.ones(2, 3), torch.ones(2), torch.ones(2))
F.layer_norm(torch.ones(2, 3), (4,))
F.layer_norm(torch.ones(2, 3), (3,), torch.ones(2))
F.group_norm(torch.ones(2, 3, 4), 2)
F.mse_loss(torch.ones(2), torch.ones(2), reduction='wrong')
F.binary_cross_entropy(torch.ones(2), torch.ones(3))
F.binary_cross_entropy(torch.ones(2) * 2, torch.ones(2))
F.binary_cross_entropy_with_logits(torch.ones(2), torch.ones(3))
F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 3]))
F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 1, 2]))
F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 1]), weight=torch.ones(2))
F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 1]), label_smoothing=2.0)
F.cross_entropy(torch.ones(2, 3), torch.tensor([0.0, 1.0]))
F.nll_loss(torch.ones(2, 3), torch.tensor([0, 5]))
F.nll_loss(torch.ones(2, 3), torch.tensor([[0, 1]]))
F.embedding(torch.tensor([7]), torch.ones(3, 2))
F.embedding(torch.tensor([0.5]), torch.ones(3, 2))
F.embedding(torch.tensor([0]), torch.ones(3, 2), padding_idx=5)
F.one_hot(torch.tensor([3]), 2)
F.one_hot(torch.tensor([-1]))
F.one_hot(torch.tensor([0.5]))
F.interpolate(torch.ones(1, 1, 4), size=3, scale_factor=2)
F.interpolate(torch.ones(1, 1, 4))
F.interpolate(torch.ones(1, 1, 4), size=2, mode='bilinear')
F.interpolate(torch.ones(1, 1, 4), size=2, mode='wrong')
F.grid_sample(torch.ones(1, 1, 4, 4), torch.ones(2, 2, 2, 2))
F.grid_sample(torch.ones(1, 1, 4, 4), torch.ones(1, 2, 2, 2), mode='wrong')
F.pixel_shuffle(torch.ones(1, 3, 2, 2), 2)
F.pixel_unshuffle(torch.ones(1, 3, 3, 2), 2)
F.pad(torch.ones(2), (1,))
F.pad(torch.ones(1, 2), (2, 2), mode='reflect')
F.pad(torch.ones(1, 2), (1, 1), mode='wrong')
F.dropout(torch.ones(2), 1.5)
F.scaled_dot_product_attention(torch.ones(2, 3, 4), torch.ones(2, 3, 5), torch.ones(2, 3, 4))
F.glu(torch.ones(3, 3))
F.fold(torch.ones(1, 8, 11), (4, 5), (2, 2))
F.unfold(torch.ones(1, 1, 2, 2), 5)
F.triplet_margin_loss(torch.ones(2), torch.ones(2), torch.ones(2), margin=-1)
F.gaussian_nll_loss(torch.ones(2), torch.ones(2), -torch.ones(2))
F.ctc_loss(torch.ones(5, 2, 4), torch.ones(2, 2, dtype=torch.long), (6, 4), (2, 1))
F.embedding_bag(torch.tensor([0, 1]), torch.ones(3, 2))
F.multi_margin_loss(torch.ones(2, 3), torch.tensor([0, 1]), p=3)
""".strip().splitlines()


def scope(torch):
    """The constants that the expressions name."""
    t = torch.tensor
    d = {"dtype": torch.float64}
    return {"torch": torch, "F": torch.nn.functional, "i": t([1, 4, 0]), "i22": t([[0, 2], [1, 1]]),
            "sign": t([1.0, -1.0, 1.0], **d), "p": t([0.2, 1.0, 0.0], **d), "m": t([0.5, 1.0, 2.0], **d),
            "v": t([1.5, 0.7, 2.0], **d), "w5": t([0.5, 1.0, 2.0, 0.1, 0.7], **d), "offs": t([0, 2]),
            "ml": t([[3, 0, -1, 1], [1, -1, 0, 0]]), "p4": t([[0.0, 1, 0, 1], [1, 1, 0, 0]], **d),
            "t": t([[1, 2], [2, 0]]), "mask": t([[True, False, True], [True, True, False], [True, True, True]])}


def operands(torch, shapes, number):
    """The random operands of case `number`."""
    rng = np.random.default_rng(number)
    return [torch.from_numpy(np.array(rng.uniform(-1.3, 1.5, eval(s)))).requires_grad_() for s in shapes.split()]


def function(torch, code):
    """The expression as a function of its operands."""
    names = scope(torch)

    def call(*xs):
        return eval(code, {**names, **dict(zip(string.ascii_lowercase, xs))})
    return call


def flat(result):
    """The tensors of a result."""
    if hasattr(result, "grad_fn"):
        return [result]
    return [r for x in result for r in flat(x)]


def evaluate(torch, number):
    """{"values": ..., "grads": ...} of a case: results, and the gradients of a weighted sum of them."""
    code, shapes = CASES[number]
    xs = operands(torch, shapes, number)
    outs = flat(function(torch, code)(*xs))
    total = 0
    for o in outs:
        if o.requires_grad:
            weights = torch.from_numpy(np.cos(np.arange(o.numel(), dtype=np.float64))).reshape(o.shape)
            total = total + (o * weights).sum()
    grads = torch.autograd.grad(total, xs, allow_unused=True) if xs else []
    return {"values": [o.detach().tolist() for o in outs],
            "grads": [None if g is None else g.tolist() for g in grads]}


def error(torch, code):
    """The name of the exception that an expression raises, or None."""
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            eval(code, scope(torch))
        except Exception as e:
            return type(e).__name__
    return None
