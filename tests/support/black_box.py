"""The cores of a layer by what transformers' own modules compute: no weight is looked at.

A layer is fed tokens one by one, as sequences of length one, in double precision. Where the block
of attention and the feed-forward block are is all that is told: what stands before and after them
is measured. Norms inside of attention divide by one number a head (or a whole), the size over the
tokens; gates and routers count, but are not differentiated: docs/cores.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

CAPTURED: dict = {}
ROUTERS = ("gate", "router", "shared_expert_gate", "classifier", "wg", "moe_gate")
OPENERS = ("gate_proj", "g_proj", "gate", "linear_gate", "g_a_proj")


def capture(module, query, key, value, attention_mask=None, scaling=None, dropout=0.0, **_):
    """Attention over a sequence of one: the value itself. Keeps what it was asked."""
    heads = query.shape[1]
    out = value.repeat_interleave(heads // value.shape[1], dim=1)
    if module is CAPTURED.get("of"):
        CAPTURED["q"], CAPTURED["k"], CAPTURED["heads"] = query, key, heads
        CAPTURED["scale"] = query.shape[-1] ** -0.5 if scaling is None else scaling
        if "keep" in CAPTURED:  # (rows, heads): which heads count in which sequence
            out = out * CAPTURED["keep"][:, :, None, None]
    return out.transpose(1, 2).contiguous(), None


def register() -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register("capture", capture)
    ALL_MASK_ATTENTION_FUNCTIONS.register("capture", eager_mask)


@contextlib.contextmanager
def capturing(model: nn.Module) -> Iterator[None]:
    """Attention answered by `capture`, throughout a model."""
    register()
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    for config in configs.values():
        config._attn_implementation = "capture"
    try:
        yield
    finally:
        CAPTURED.clear()
        for config in configs.values():
            config._attn_implementation = "eager"


@dataclass
class Place:
    """One layer of a model: the layer's module, its attention, its feed-forward modules; openers:
    modules inside of attention whose answers count without being differentiated; silent: what else
    stands in the layer, and is kept from writing."""

    model: nn.Module
    layer: nn.Module
    attention: nn.Module | None
    ffn: list[nn.Module]
    openers: list[nn.Module] = field(default_factory=list)
    silent: list[nn.Module] = field(default_factory=list)

    @property
    def blocks(self) -> list[nn.Module]:
        return [m for m in (self.attention, *self.ffn, *self.silent) if m is not None]


def _with(hidden, args, kwargs):
    """Arguments of a module with its first tensor of three axes replaced."""
    name = "hidden_states" if "hidden_states" in kwargs else None
    if name:
        old = kwargs[name]
        return args, {**kwargs, name: hidden.reshape(old.shape[:-1] + hidden.shape[-1:])}
    old = args[0]
    return (hidden.reshape(old.shape[:-1] + hidden.shape[-1:]), *args[1:]), kwargs


def _first(output):
    return output[0] if isinstance(output, tuple) else output


def _replaced(output, tensor):
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


@contextlib.contextmanager
def hooks() -> Iterator[list]:
    held: list = []
    try:
        yield held
    finally:
        for h in held:
            h.remove()


def run(
    place: Place,
    hidden: torch.Tensor,
    into: dict[nn.Module, torch.Tensor] | None = None,
    out: dict[nn.Module, torch.Tensor] | None = None,
) -> dict[nn.Module, tuple]:
    """Run the model with the layer fed ``hidden`` (n, d); modules fed ``into`` or made to answer
    ``out``. What each named module (the layer, attention, ffn) was given and answered, (n, d)."""
    seen: dict[nn.Module, list] = {}
    watched = [place.layer, *place.blocks]
    into, out = into or {}, out or {}
    d = hidden.shape[-1]
    with hooks() as held:

        def before(module, args, kwargs):
            if module is place.layer:
                args, kwargs = _with(hidden, args, kwargs)
            elif module in into:
                args, kwargs = _with(into[module], args, kwargs)
            given = kwargs.get("hidden_states", args[0] if args else None)
            seen.setdefault(module, [None, None])[0] = given.reshape(-1, d)
            return args, kwargs

        def after(module, args, kwargs, output):
            if module in out:
                first = _first(output)
                output = _replaced(output, out[module].reshape(first.shape).to(first.dtype))
            seen[module][1] = _first(output).reshape(-1, d)
            return output

        for module in watched:
            held.append(module.register_forward_pre_hook(before, with_kwargs=True))
            held.append(module.register_forward_hook(after, with_kwargs=True))
        ids = torch.full((len(hidden), 1), 3)
        place.model(input_ids=ids, use_cache=False)
    return {m: tuple(v) for m, v in seen.items()}


@contextlib.contextmanager
def constant(modules: list[nn.Module]) -> Iterator[None]:
    """What these answer counts, but is not differentiated."""

    def cut(module, args, output):
        if isinstance(output, tuple):
            return tuple(o.detach() if torch.is_tensor(o) else o for o in output)
        return output.detach()

    with hooks() as held:
        for m in modules:
            held.append(m.register_forward_hook(cut))
        yield


def named(module: nn.Module, names: tuple[str, ...]) -> list[nn.Module]:
    return [m for n, m in module.named_modules() if n.split(".")[-1] in names]


def norms(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if "norm" in type(m).__name__.lower()]


class Frozen:
    """Norms that divide by one number, the size of what they were given over the tokens."""

    def __init__(self, modules: list[nn.Module]):
        self.modules, self.kept = modules, {}

    @contextlib.contextmanager
    def measuring(self):
        """Note the size of what each is given, head by head if it has heads."""

        def note(module, args, output):
            x = args[0]
            x = x.reshape(len(x), -1, x.shape[-1])  # (tokens, heads or 1, dimension)
            x = x - x.mean(-1, keepdim=True) if _centres(module) else x
            size = x.square().mean(dim=(0, 2)).sqrt()
            self.kept.setdefault(module, []).append(size)

        with hooks() as held:
            for m in self.modules:
                held.append(m.register_forward_hook(note))
            yield

    @contextlib.contextmanager
    def frozen(self):
        calls = dict.fromkeys(self.modules, 0)

        def forward(module, args, output):
            x = args[0]
            parts = x.reshape(len(x), -1, x.shape[-1])
            if _centres(module):
                parts = parts - parts.mean(-1, keepdim=True)
            size = self.kept[module][calls[module] % len(self.kept[module])]
            calls[module] += 1  # one module may stand behind queries and behind keys
            y = parts / size[None, :, None]
            return (y.reshape(x.shape) * _gain(module, x.shape)).to(x.dtype)

        with hooks() as held:
            for m in self.modules:
                held.append(m.register_forward_hook(forward))
            yield


def _centres(module: nn.Module) -> bool:
    """Whether a norm takes the mean off: asked by a constant."""
    shape = _shape(module)
    x = torch.linspace(-1, 1, shape[-1], dtype=torch.float64).expand(1, *shape)
    with torch.no_grad():
        return bool(torch.allclose(_call(module, x), _call(module, x + 5.0), atol=1e-6))


def _gain(module: nn.Module, like: torch.Size) -> torch.Tensor:
    """What a norm multiplies by, without its bias: asked by alternating signs."""
    shape = _shape(module) if getattr(module, "weight", None) is not None else like[-1:]
    signs = torch.ones(shape[-1], dtype=torch.float64)
    signs[::2] = -1
    if shape[-1] % 2:
        signs = torch.linspace(-1, 1, shape[-1], dtype=torch.float64)
        signs = signs - signs.mean()
        signs[shape[-1] // 2] = 0.5
        signs = signs - signs.mean()
    x = signs.expand(1, *shape)
    with torch.no_grad():
        y = (_call(module, x) - _call(module, -x)) / 2
    unit = x / x.square().mean(-1, keepdim=True).sqrt()
    return (y / unit)[0]


def _shape(module: nn.Module) -> torch.Size:
    weight = getattr(module, "weight", None)
    if weight is not None and weight.numel() > 1:
        return weight.shape
    return torch.Size([8])


def _call(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    hooks_, module._forward_hooks = module._forward_hooks, type(module._forward_hooks)()
    try:
        found: torch.Tensor = module(x)
    finally:
        module._forward_hooks = hooks_
    return found


def jacobian(y: torch.Tensor, x: torch.Tensor, parts: int = 1) -> np.ndarray:
    """(parts, d, d): mean over the rows of each part of dy/dx, transposed: x on the left."""
    found = []
    for j in range(y.shape[1]):
        (g,) = torch.autograd.grad(y[:, j].sum(), x, retain_graph=True, allow_unused=True)
        g = torch.zeros_like(x) if g is None else g
        found.append(g.reshape(parts, -1, x.shape[1]).mean(dim=1))
    return torch.stack(found, dim=2).detach().numpy()


def before(place: Place, module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(gain (d,), offset (d,)): what the module reads of normalised rows x is x gain + offset."""
    zero = {m: torch.zeros_like(x) for m in place.blocks}
    with torch.no_grad():
        u = run(place, x, out=zero)[module][0]
        v = run(place, -x, out=zero)[module][0]
    gain = ((u - v) / (2 * x)).median(dim=0).values
    offset = ((u + v) / 2).mean(dim=0)
    assert torch.allclose(x * gain + offset, u, atol=1e-5), "the norm before is none"
    return gain, offset


def after(place: Place, module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """(factor (d,), normed): what becomes of the module's answer before it is added."""
    zero = {m: torch.zeros_like(x) for m in place.blocks}
    y = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    y = y - y.mean(dim=1, keepdim=True)
    y = y / y.square().mean(dim=1, keepdim=True).sqrt()
    with torch.no_grad():
        base = run(place, x, out=zero)[place.layer][1]
        # What follows in the layer reads the stream too: it answers nothing.
        one = run(place, x, out={**zero, module: y})[place.layer][1] - base
        two = run(place, x, out={**zero, module: 3 * y})[place.layer][1] - base
    factor = (one / y).median(dim=0).values
    normed = bool(torch.allclose(one, two, rtol=1e-3, atol=1e-6))
    return factor, normed


@contextlib.contextmanager
def without_biases(module: nn.Module, kept: list[nn.Module]):
    """Linear maps without their biases, which are no part of the cores, but for ``kept``."""
    changed = []
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, nn.Linear) and m.bias is not None and m not in kept:
                changed.append((m, m.bias.clone()))
                m.bias.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for m, bias in changed:
                m.bias.copy_(bias)


def attention_cores(place: Place, Xc: np.ndarray, X: np.ndarray) -> tuple:
    """(a, b) float64 (d, d), before means are taken off."""
    module = place.attention
    assert module is not None
    x, xc = (torch.from_numpy(v.astype(np.float64)) for v in (X, Xc))
    gain, offset = before(place, module, x)
    factor, normed = after(place, module, x)
    inner = Frozen(norms(module))
    openers = named(module, OPENERS) + place.openers
    with without_biases(module, openers):
        return (
            *_heads(place, module, inner, (x, xc), (gain, offset), openers),
            factor.numpy(),
            normed,
        )


def _heads(place, module, inner, rows, before_, openers) -> tuple:
    (x, xc), (gain, offset) = rows, before_
    CAPTURED["of"] = module
    with torch.no_grad(), inner.measuring():
        run(place, x, into={module: xc * gain})
    heads = CAPTURED["heads"]
    n, d = x.shape
    # Query and key weights: what the basis says, less what nothing says.
    basis = torch.cat([torch.zeros(1, d, dtype=x.dtype), torch.diag(gain)])
    with torch.no_grad(), inner.frozen():
        run(place, basis, into={module: basis})
    q, k = CAPTURED["q"][:, :, 0], CAPTURED["k"][:, :, 0]
    scale = CAPTURED["scale"]
    q, k = (w[1:] - w[:1] for w in (q, k))
    k = k.repeat_interleave(heads // k.shape[1], dim=1)
    A = np.einsum("ihn,jhn->hij", q.numpy(), k.numpy())
    # What each head alone writes, gates as the tokens open them.
    CAPTURED["keep"] = torch.eye(heads, dtype=x.dtype).repeat_interleave(n, dim=0)
    rows = x.repeat(heads, 1)
    u = (rows * gain + offset).requires_grad_()
    with inner.frozen(), constant(openers):
        y = run(place, rows, into={module: u})[module][1]
        written = jacobian(y, u, heads) * gain.numpy()[:, None]
    del CAPTURED["keep"]
    return A, written, scale


def joined(A, written, scale, factor, normed, Xc, sides) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) as docs/cores.md says."""
    out = np.array([sides(o) for o in written])
    total = out.sum(axis=0)
    if normed:
        size = np.sqrt(np.square(Xc @ total).mean())
        out, total = out * factor / size, total * factor / size
    a = np.zeros_like(total)
    for Ah, Oh in zip(A, out, strict=True):
        Ah = sides(Ah)
        w = ((Xc @ Oh) * (Xc @ total)).sum() / np.linalg.norm(Xc @ total)
        a += w * Ah / np.sqrt(1 + np.square(Xc @ Ah @ Xc.T * scale).mean())
    return a, total


def ffn_core(place: Place, Xc: np.ndarray, read: np.ndarray, sides) -> np.ndarray:
    x = torch.from_numpy(read.astype(np.float64))
    d = x.shape[1]
    total, modules = np.zeros((d, d)), []
    for module in place.ffn:
        gain, offset = before(place, module, x)
        factor, normed = after(place, module, x)
        modules.append((factor.numpy(), normed))
        u = (x * gain + offset).requires_grad_()
        inner = Frozen(norms(module))
        with torch.no_grad(), inner.measuring():
            run(place, x, into={module: u.detach()})
        with inner.frozen(), constant(named(module, ROUTERS)):
            y = run(place, x, into={module: u})[module][1]
            J = jacobian(y, u)[0] * gain.numpy()[:, None]
        J = sides(J)
        if normed:
            J = J * factor.numpy() / np.sqrt(np.square(Xc @ J).mean())
        total += J
    return total
