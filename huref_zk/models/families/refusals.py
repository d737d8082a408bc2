"""Types of transformers' causal models that are not read, and why: what the error says."""

from __future__ import annotations

_AFTER = (
    "their residual stream is normalised in place, so no pair of weights makes an invariant map"
)
_HALF = "they are half of an encoder-decoder, whose layers attend to an encoder's answer too"
_ENCODER = "they are encoders, whose tokens see what follows; the table describes decoders only"
_STATE = (
    "their layers are state spaces, which weigh the past by decays and gates of each channel: no "
    "d x d matrix sums up what they do, so no cores are defined for them"
)
_STREAMS = "their residual stream is several streams that learned weights mix from layer to layer"
_CONVOLVED = "what their blocks write passes a convolution over the tokens before it is added"
_DOUBLE = (
    "their attention reads twice the hidden size, the stream beside the embeddings, and its blocks "
    "are shared by many layers"
)
_IMAGES = "their text part is not described: layers of its own attend to images"

REFUSALS: dict[str, str] = {
    **dict.fromkeys(
        (
            "bert",
            "bert-generation",
            "big_bird",
            "camembert",
            "data2vec-text",
            "electra",
            "ernie",
            "git",
            "megatron-bert",
            "minimax",
            "openai-gpt",
            "rembert",
            "roberta",
            "roc_bert",
            "roformer",
            "xlm",
            "xlm-roberta",
            "xmod",
            "dory",
            "xlnet",
        ),
        _AFTER,
    ),
    **dict.fromkeys(
        (
            "bart",
            "bigbird_pegasus",
            "blenderbot",
            "blenderbot-small",
            "marian",
            "mbart",
            "musicgen",
            "musicgen_melody",
            "mvp",
            "pegasus",
            "plbart",
            "prophetnet",
            "trocr",
            "whisper",
        ),
        _HALF,
    ),
    **dict.fromkeys(("roberta-prelayernorm", "xlm-roberta-xl"), _ENCODER),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"), _STATE),
    **dict.fromkeys(
        ("deepseek_v4", "hy_v4", "qwen4_exp", "qwen4_exp_text", "gemma3n", "gemma3n_text"), _STREAMS
    ),
    **dict.fromkeys(("inkling_text", "inkling2_text", "inkling2_loop_text"), _CONVOLVED),
    **dict.fromkeys(("zamba", "zamba2"), _DOUBLE),
    "axk1": "their mixtures end in a norm that their dense layers lack",
    "axk2": "their norms have gates made of weights of their own",
    "bailing_hybrid": "their linear attention and their latent attention bear the same names",
    "blt": "they read bytes through tables of hashes, and patches of bytes as long as these tell",
    "cpmant": "their embeddings hold prompts beside tokens, at whose side no token stands",
    "dbrx": "all their experts lie side by side in matrices of two axes, which no entry cuts",
    "diffllama": "each of their heads is the difference of two attentions, by learned shares",
    "doge": "their residual stream is multiplied by learned gains of its own from layer to layer",
    "dots3_note": "their keys have a norm behind RoPE's part alone, which no entry describes",
    "dots3_note_text": "their keys have a norm behind RoPE's part alone, which no entry describes",
    "gemma4_assistant": "they draft for another model, whose keys and values they read",
    "gemma4_unified_assistant": "they draft for another model, whose keys and values they read",
    "hrm_text": "their layers run again and again, in two modules that take turns",
    "jetmoe": "their heads are experts, chosen token by token, that share keys and values",
    "longcat_flash": "their layers have two blocks of attention and three feed-forward ones each",
    "mllama": _IMAGES,
    "moshi": "they are a model of sound, with a small transformer for each frame",
    "olmo_hybrid": "norms stand before their blocks in some layers and behind them in others",
    "phi4_multimodal": "their layers hold LoRA weights for images and sound beside those for text",
    "reformer": "their residual stream is two streams, each added to in turn",
    "zaya": "their router reads what the layer before told its own, not the stream alone",
}
