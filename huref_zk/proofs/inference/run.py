"""Run a model on a prompt and keep what its committed layers compute. Needs torch, transformers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.hub import download
from huref_zk.models.load import EMBEDDED, open_model


@dataclass(frozen=True)
class Activations:
    """One layer's, float32 (tokens, width): residual stream before, between and after its blocks;
    inputs of Wo and Wdown; outputs of Wq, Wk, Wv, Wup, Wgate."""

    h_in: np.ndarray
    h_mid: np.ndarray
    h_out: np.ndarray
    a: np.ndarray
    mid: np.ndarray
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    up: np.ndarray
    gate: np.ndarray


@dataclass(frozen=True)
class Run:
    """ids: the prompt's tokens; eps: of the norms; theta: base of plain RoPE, None for other kinds;
    layers: the activations of the layers asked for; tied: whether the output matrix is the
    embedding; gain: the final norm's, float32 (d,); norms: root mean square of every row of the
    embedding, float64 (vocabulary,)."""

    ids: tuple[int, ...]
    eps: float
    theta: float | None
    layers: tuple[Activations, ...]
    tied: bool
    gain: np.ndarray
    norms: np.ndarray


def run_model(
    ref: str,
    layers: Sequence[int],
    prompt: str | None,
    ids: Sequence[int] | None,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
) -> Run:
    """Run the model ``ref`` (as for load.open_model) in float32 on a prompt: a text or token ids.

    InputError for models that are not of the llama kind with silu and without biases, prompts of no
    tokens or beyond the model's positions; EnvironmentLacks without torch or transformers.
    """
    try:
        import torch
        import transformers
    except ImportError as e:
        raise EnvironmentLacks(
            f"running a model needs torch and transformers ({e}); install the extra 'train'"
        ) from e
    quiet: Any = transformers.logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    path = EMBEDDED.get(ref, Path(ref))
    if not os.path.exists(path):
        path = download(ref, revision, allow_pickle)
    try:
        model = _from_gguf(path) if path.is_file() else _from_folder(path, allow_pickle)
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        raise InputError(f"transformers cannot load {ref}: {e}") from e
    if ids is None:
        ids = _tokenizer(path)(prompt or "")["input_ids"]
    _check(model, ref, ids, layers)
    chosen = [model.layers[i] for i in layers]
    kept: list[dict[str, np.ndarray]] = [{} for _ in chosen]
    hooks = [hook for layer, into in zip(chosen, kept, strict=True) for hook in _watch(layer, into)]
    try:
        with torch.no_grad():
            model(torch.tensor([list(ids)]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    embedding = model.embed_tokens.weight.detach().double()
    return Run(
        tuple(int(i) for i in ids),
        float(model.config.rms_norm_eps),
        _theta(model.config),
        tuple(Activations(**into) for into in kept),
        bool(model.config.tie_word_embeddings),
        model.norm.weight.detach().numpy().copy(),
        embedding.square().mean(dim=1).sqrt().numpy(),
    )


def _from_folder(folder: Path, allow_pickle: bool) -> Any:
    """The model without its head, in float32."""
    import torch
    from transformers import AutoModel

    options: dict[str, Any] = {} if allow_pickle else {"use_safetensors": True}
    return AutoModel.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        local_files_only=True,
        **options,
    ).eval()


def _from_gguf(path: Path) -> Any:
    """The same from a GGUF file: weights as we read them, so that no further library is needed."""
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    auto: Any = AutoModel
    model = auto.from_config(config, attn_implementation="eager").float().eval()
    weights = open_model(str(path))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.tensor(weights.tensor(f"model.{name}"))
            parameter.copy_(values.reshape(parameter.shape))
    return model


def _tokenizer(path: Path) -> Any:
    from transformers import AutoTokenizer

    named: dict[str, Any] = {"gguf_file": path.name} if path.is_file() else {}
    folder = path.parent if named else path
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, **named)
    except (OSError, ValueError, KeyError) as e:
        raise InputError(f"{path} has no usable tokenizer ({e}); give --prompt-ids") from e


def _check(model: Any, ref: str, ids: Sequence[int], layers: Sequence[int]) -> None:
    config = model.config
    if config.model_type not in ("llama", "mistral") or config.hidden_act != "silu":
        raise InputError(f"{ref}: only llama and mistral models with silu can be audited")
    if max(layers) >= config.num_hidden_layers:
        raise InputError(f"{ref} has no layer {max(layers)}")
    if not ids or not all(0 <= i < config.vocab_size for i in ids):
        raise InputError("the prompt has no tokens, or tokens that the model does not know")
    window = getattr(config, "sliding_window", None) or config.max_position_embeddings
    if len(ids) > min(window, config.max_position_embeddings):
        raise InputError(f"the prompt has {len(ids)} tokens, {ref} attends to {window} at most")
    for i in layers:
        for name, parameter in model.layers[i].named_parameters():
            if name.endswith("bias") and parameter is not None:
                raise InputError(f"{ref}: layer {i} has biases, which are not committed")


def _theta(config: Any) -> float | None:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        return None
    theta = rope.get("rope_theta", getattr(config, "rope_theta", None))
    return None if theta is None else float(theta)


def _watch(layer: Any, into: dict[str, np.ndarray]) -> list[Any]:
    """Hooks on one decoder layer that put its activations into ``into``."""

    def keep(name: str, value: Any) -> None:
        value = value[0] if isinstance(value, tuple) else value
        into[name] = value.detach().reshape(-1, value.shape[-1]).numpy().copy()

    def before(module: Any, name: str) -> Any:
        def hook(_module: Any, args: Any, kwargs: Any) -> None:
            keep(name, args[0] if args else kwargs["hidden_states"])

        return module.register_forward_pre_hook(hook, with_kwargs=True)

    def after(module: Any, name: str) -> Any:
        return module.register_forward_hook(lambda _module, _args, out: keep(name, out))

    attention, ffn = layer.self_attn, layer.mlp
    return [
        before(layer, "h_in"),
        before(layer.post_attention_layernorm, "h_mid"),
        after(layer, "h_out"),
        before(attention.o_proj, "a"),
        before(ffn.down_proj, "mid"),
        after(attention.q_proj, "q"),
        after(attention.k_proj, "k"),
        after(attention.v_proj, "v"),
        after(ffn.up_proj, "up"),
        after(ffn.gate_proj, "gate"),
    ]
