"""All derivations, each as one function of a model, texts and a setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import LlamaForCausalLM

from research.derivations.corpus import Texts
from research.derivations.distil import distil
from research.derivations.finetune import continued, sft
from research.derivations.layers import crash
from research.derivations.lora import lora
from research.derivations.merging import average, dare, franken, task_arithmetic, ties
from research.derivations.minitron import minitron
from research.derivations.preference import dpo, preferences, spin
from research.derivations.reinforcement import grpo
from research.derivations.rounding import quantise_weights
from research.derivations.rounding_aware import train_rounded
from research.derivations.sparse import gblm_prune
from research.derivations.structured import llm_prune
from research.derivations.surgery import behaviour_probe, operate
from research.derivations.train import Progress, Setting
from research.derivations.upcycling import upcycle
from research.derivations.upscaling import upscale

GROUP = 64  # inputs that share a scale when weights are rounded
PREFERENCES = 128  # pairs to tune on
Make = Callable[[LlamaForCausalLM, Texts, Setting, "Progress | None"], LlamaForCausalLM]
Join = Callable[
    [LlamaForCausalLM, LlamaForCausalLM, Texts, Setting, "Progress | None"], LlamaForCausalLM
]


@dataclass(frozen=True)
class Derivation:
    """One way to make a model of another.

    source_paper: where it comes from; expected_detected: whether the fingerprint should tell the
    origin; make(model, texts, setting, progress): the new model, ``model`` stays as it is. What
    does not train takes no notice of setting.steps.
    """

    name: str
    source_paper: str
    expected_detected: bool
    make: Make


def _sft(model, texts, setting, progress=None):
    return sft(model, texts.pairs, setting, progress)


def _continued(model, texts, setting, progress=None):
    return continued(model, texts.new, setting, progress)


def _lora(model, texts, setting, progress=None):
    return lora(model, texts.new, replace(setting, rate=3 * setting.rate), progress=progress)


def _preferences(texts, setting):
    count = min(PREFERENCES, setting.batch * max(1, setting.steps))
    return preferences(texts.new, count, setting.context, setting.seed)


def _halved(setting):
    """A pair is two sequences, and preferences want a gentler rate."""
    return replace(setting, batch=max(1, setting.batch // 2), rate=0.3 * setting.rate)


def _dpo(model, texts, setting, progress=None):
    return dpo(model, _preferences(texts, setting), _halved(setting), progress=progress)


def _spin(model, texts, setting, progress=None):
    return spin(model, _preferences(texts, setting), _halved(setting), progress=progress)


def _gblm(sparsity):
    def make(model, texts, setting, progress=None):
        samples = 2 * setting.batch
        return gblm_prune(
            model, texts.seen, sparsity, samples, setting.context, setting.seed, progress
        )

    return make


def _llm_pruner(which):
    def make(model, texts, setting, progress=None):
        config = model.config
        depth = config.num_hidden_layers
        layers = {"middle": range(1, depth - 1), "last": range(depth - 2, depth), "all": None}
        return llm_prune(
            model,
            np.concatenate((texts.seen, texts.new)),
            setting,
            groups=1,
            channels=config.intermediate_size // 4,
            layers=layers[which],
            progress=progress,
        )

    return make


def _surgery(model, texts, setting, progress=None):
    """The behaviour: prose. Instructions here are signatures and docstrings, answers are code."""
    pairs = texts.pairs[: 4 * setting.batch]
    prose = [torch.from_numpy(p.prompt) for p in pairs]
    probe = behaviour_probe(model, prose, [torch.from_numpy(p.response) for p in pairs])
    depth, rows = model.config.num_hidden_layers, max(1, model.config.intermediate_size // 16)
    return operate(model, probe, prose, range(depth // 2, depth), rows, 2.0, progress)[0]


def _crash(share):
    def make(model, texts, setting, progress=None):
        depth = model.config.num_hidden_layers
        adapters = 1 if depth < 12 else 2
        between = depth - 2 * adapters
        return crash(
            model,
            texts.new,
            setting,
            adapters=adapters,
            clusters=max(1, 3 * between // 4),
            share=share,
            progress=progress,
        )[0]

    return make


def _rounded(bits):
    def make(model, texts, setting, progress=None):
        return quantise_weights(model, bits, GROUP, progress)

    return make


def _siblings(model, texts, setting, progress):
    """Two children of ``model``: one of more text, one of instructions; half the steps each."""
    half = replace(setting, steps=max(1, setting.steps // 2))
    first = continued(model, texts.new, half, progress)
    return first, sft(model, texts.pairs, replace(half, seed=setting.seed + 1), progress)


def _average(model, texts, setting, progress=None):
    return average(*_siblings(model, texts, setting, progress))


def _task_arithmetic(model, texts, setting, progress=None):
    return task_arithmetic(model, _siblings(model, texts, setting, progress))


def _ties(model, texts, setting, progress=None):
    return ties(model, _siblings(model, texts, setting, progress))


def _dare(model, texts, setting, progress=None):
    return dare(model, _siblings(model, texts, setting, progress), seed=setting.seed)


def _upcycled(model, texts, setting, progress=None):
    return continued(upcycle(model, seed=setting.seed), texts.new, setting, progress)


def _upscaled(model, texts, setting, progress=None):
    """A quarter of the layers cut from either copy, as SOLAR does."""
    cut = max(1, model.config.num_hidden_layers // 4)
    return upscale(model, texts.new, setting, cut, progress)


def _minitron(model, texts, setting, progress=None):
    config = model.config
    width, neurons = 3 * config.hidden_size // 4, 3 * config.intermediate_size // 4
    ids = np.concatenate((texts.seen, texts.new))
    return minitron(model, ids, setting, width=width, neurons=neurons, progress=progress)


def _rounded_training(bits):
    def make(model, texts, setting, progress=None):
        return train_rounded(model, texts.new, setting, bits, GROUP, progress)

    return make


def _grpo(model, texts, setting, progress=None):
    return grpo(model, texts.new, replace(setting, rate=0.3 * setting.rate), progress=progress)


def _chain(*parts):
    """One derivation after the other, as models are used: tuned, then rounded or pruned."""

    def make(model, texts, setting, progress=None):
        for part in parts:
            model = part(model, texts, setting, progress)
        return model

    return make


def _with_donor(merge):
    """A child of the model and a donor of other origin, merged on the model, then healed."""

    def make(model, donor, texts, setting, progress=None):
        half = replace(setting, steps=max(1, setting.steps // 2))
        child = continued(model, texts.new, half)
        return continued(merge(model, (child, donor)), texts.seen, half, progress)

    return make


def _franken(model, donor, texts, setting, progress=None):
    """The lower half of the model, the upper half of the donor, healed."""
    merged = franken(model, donor, model.config.num_hidden_layers // 2)
    return continued(merged, texts.seen, setting, progress)


def _distil(model, texts, setting, progress=None):
    ids = np.concatenate((texts.seen, texts.new))
    rate = max(setting.rate, 3e-3)  # from scratch, as the embedded models were trained
    return distil(model, ids, replace(setting, rate=rate), progress)


DERIVATIONS: tuple[Derivation, ...] = (
    Derivation("sft", "InstructGPT, arXiv 2203.02155", True, _sft),
    Derivation("lora", "LoRA, arXiv 2106.09685", True, _lora),
    Derivation("continued", "Don't stop pretraining, arXiv 2004.10964", True, _continued),
    Derivation("dpo", "DPO, arXiv 2305.18290", True, _dpo),
    Derivation("spin", "SPIN, arXiv 2401.01335", True, _spin),
    Derivation("gblm-30", "GBLM-Pruner, arXiv 2311.04902", True, _gblm(0.3)),
    Derivation("gblm-50", "GBLM-Pruner, arXiv 2311.04902", True, _gblm(0.5)),
    Derivation("llm-pruner", "LLM-Pruner, arXiv 2305.11627", True, _llm_pruner("middle")),
    Derivation("llm-pruner-last", "LLM-Pruner, arXiv 2305.11627", True, _llm_pruner("last")),
    Derivation("llm-pruner-narrow", "LLM-Pruner, arXiv 2305.11627", True, _llm_pruner("all")),
    Derivation("surgery", "Model Surgery, arXiv 2407.08770", True, _surgery),
    Derivation("crash-share", "CRaSh, arXiv 2310.15477", True, _crash(True)),
    Derivation("crash-drop", "CRaSh, arXiv 2310.15477", True, _crash(False)),
    Derivation("int8", "round to nearest, arXiv 2210.17323", True, _rounded(8)),
    Derivation("int4", "round to nearest, arXiv 2210.17323", True, _rounded(4)),
    Derivation("average", "Model soups, arXiv 2203.05482", True, _average),
    Derivation("task-arithmetic", "Task arithmetic, arXiv 2212.04089", True, _task_arithmetic),
    Derivation("ties", "TIES, arXiv 2306.01708", True, _ties),
    Derivation("dare", "DARE, arXiv 2311.03099", True, _dare),
    Derivation("upcycled", "sparse upcycling, arXiv 2212.05055", True, _upcycled),
    Derivation("upscaled", "SOLAR, arXiv 2312.15166", True, _upscaled),
    Derivation("minitron", "Minitron, arXiv 2407.14679", True, _minitron),
    Derivation("qat-4", "LLM-QAT, arXiv 2305.17888", True, _rounded_training(4)),
    Derivation("grpo", "GRPO, arXiv 2402.03300", True, _grpo),
    Derivation("sft-int4", "as sft and int4, arXiv 2210.17323", True, _chain(_sft, _rounded(4))),
    Derivation("lora-gblm-50", "as both, arXiv 2311.04902", True, _chain(_lora, _gblm(0.5))),
    Derivation("distil", "Distillation, arXiv 1503.02531", False, _distil),
)


@dataclass(frozen=True)
class Merger:
    """A model made of two of different origin but one architecture: make(model, donor, texts,
    setting, progress). expected_detected: whether the fingerprint should tell the model,
    from_donor: the donor, too. Neither where the merge leaves nothing of what either could do."""

    name: str
    source_paper: str
    expected_detected: bool
    from_donor: bool
    make: Join


MERGERS: tuple[Merger, ...] = (
    Merger("ties-bases", "TIES, arXiv 2306.01708", False, False, _with_donor(ties)),
    Merger("dare-bases", "DARE, arXiv 2311.03099", False, False, _with_donor(dare)),
    Merger("franken", "layers of two, as Goliath-120B, then healed", True, True, _franken),
)
