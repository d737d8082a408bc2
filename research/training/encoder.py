"""Train the encoder: contrastive learning and a Gaussian discriminator on synthetic sketches.

    python -m training.encoder

After HuRef section 4.3: a convolutional encoder keeps relatives together and strangers apart, while
a discriminator that tells its output from normal noise makes the output Gaussian. Here the measure
of kinship is known exactly, so the contrastive loss asks cos(v, v') to equal the ICS of the two
sketches, for relatives of every degree and for strangers. No model is needed: a sketch of an
invariant map is sum_k s_k a_k b_k^T with Gaussian a_k, b_k (random signs make them so), and real
models' spectra s_k are as steep as the ones drawn here.

The weights are then rounded to the integers that the circuit computes with, and the offset is
measured again. Deterministic on one machine; `benchmarks/encoder.py` judges the result.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from huref_zk.invariants.encoder import (
    FILTERS,
    HIDDEN,
    MAPS,
    OUT,
    V_LENGTH,
    WEIGHTS,
    Encoder,
    P,
    encode_float,
)

LOG = Path(__file__).resolve().parent / "logs" / "encoder.csv"
STEPS, BATCH, RATE, CRITIC_RATE = 4000, 192, 2e-3, 1e-3
GAUSSIAN_WEIGHT = 0.02
RANK = 48  # terms of a synthetic map's sum
FILT_RMS, MIX_RMS = 32.0, 96.0  # of the integer weights
FILT_LIMIT, MIX_LIMIT = 127, 511  # largest magnitudes: quantise.py's bounds count on the first
OFFSET_STEP = 1 << 20  # b2 is about 2^41 and must be exact in float32


# ---------------------------------------------------------------- synthetic sketches


def sketches(count: int, draw: torch.Generator) -> Tensor:
    """Unrelated maps (count, MAPS, P, P), each of unit norm, of spectra from flat to steep."""
    a = torch.randn(count, MAPS, P, RANK, generator=draw)
    b = torch.randn(count, MAPS, RANK, P, generator=draw)
    steep = 2.5 * torch.rand(count, MAPS, 1, generator=draw)
    s = torch.arange(1, RANK + 1) ** -steep
    maps = (a * s[:, :, None, :]) @ b
    return maps / maps.square().sum((2, 3), keepdim=True).sqrt()


def relatives(maps: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """(relatives of ``maps``, their ICS (B,)): near copies, distant cousins, and all between."""
    kinship = torch.rand(len(maps), 1, 1, 1, generator=draw) ** 0.5
    other = sketches(len(maps), draw)
    mixed = kinship * maps + (1 - kinship.square()).sqrt() * other
    return mixed, ics(maps, mixed)


def ics(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the maps of their cosines, (B,): HuRef section 4.2."""
    return F.cosine_similarity(x.flatten(2), y.flatten(2), dim=2).mean(1)


# ---------------------------------------------------------------- the networks


class Net(nn.Module):
    """circuit/encoder.py in real numbers, differentiable: maps (B, 6, 16, 16) -> v (B, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.filt = nn.Parameter(torch.randn(MAPS, FILTERS, 4, 4) / 4)
        self.w1 = nn.Parameter(torch.randn(HIDDEN, MAPS, FILTERS))
        self.w2 = nn.Parameter(torch.linalg.qr(torch.randn(OUT, HIDDEN))[0])
        self.b2 = nn.Parameter(torch.zeros(OUT))

    def forward(self, maps: Tensor) -> Tensor:
        patches = maps.view(-1, MAPS, 4, P // 4, 4, P // 4)
        u = torch.einsum("bcixjy,cfxy->bcfij", patches, self.filt)
        y = u / u.square().sum((2, 3, 4), keepdim=True).sqrt()
        h = F.relu(torch.einsum("bcfij,ocf->boij", y, self.w1))
        return (torch.einsum("boij,qo->bqij", h, self.w2) - self.b2[:, None, None]).flatten(1)


def critic() -> nn.Sequential:
    """Tells v from noise; reads the vector and its magnitudes, where heavy tails show."""
    return nn.Sequential(
        nn.Linear(2 * V_LENGTH, 256), nn.LeakyReLU(0.2), nn.Linear(256, 64), nn.LeakyReLU(0.2),
        nn.Linear(64, 1),
    )  # fmt: skip


def seen(v: Tensor) -> Tensor:
    return torch.cat((v, v.abs()), dim=1)


def standard(v: Tensor) -> Tensor:
    """v scaled to length sqrt(512), as the generator reads it (render/latent.py)."""
    return F.normalize(v, dim=1) * math.sqrt(V_LENGTH)


def train(steps: int = STEPS, log_to: Path = LOG) -> Net:
    torch.manual_seed(1)
    draw = torch.Generator().manual_seed(2)
    net, judge = Net(), critic()
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    judging = torch.optim.Adam(judge.parameters(), CRITIC_RATE, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    log_to.parent.mkdir(parents=True, exist_ok=True)
    with open(log_to, "w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["step", "contrastive", "gaussian", "critic"])
        for step in range(steps):
            maps = sketches(BATCH, draw)
            near, kinship = relatives(maps, draw)
            v, w = net(maps), net(near)
            # Relatives: cosine = ICS, its square where it counts most. Strangers: cosine 0.
            related = (F.cosine_similarity(v, w) - kinship).square().mean()
            unit = F.normalize(v, dim=1)
            strangers = (unit @ unit.T - torch.eye(BATCH)).square().sum() / BATCH
            contrastive = 10 * related + strangers
            gaussian = F.softplus(-judge(seen(standard(v)))).mean()
            loss = contrastive + GAUSSIAN_WEIGHT * gaussian
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            noise = standard(torch.randn(BATCH, V_LENGTH, generator=draw))
            doubt = F.softplus(judge(seen(standard(v.detach())))) + F.softplus(-judge(seen(noise)))
            judging.zero_grad()
            doubt.mean().backward()
            judging.step()
            if step % 100 == 99:
                row = [contrastive.item(), gaussian.item(), doubt.mean().item()]
                log.writerow([step + 1, *(f"{x:.5f}" for x in row)])
                print(step + 1, *(f"{x:.4f}" for x in row), flush=True)
    return net


# ---------------------------------------------------------------- to integers


@torch.no_grad()
def to_integers(net: Net) -> Encoder:
    """The circuit's weights. Scales of filters, w1 and w2 are free: v's direction ignores them."""

    def whole(x: Tensor, rms: float, limit: int) -> np.ndarray:
        values = x.double().numpy()
        values = np.rint(values * (rms / np.sqrt(np.mean(values**2))))
        if np.abs(values).max() > limit:
            raise ValueError(f"a weight of {np.abs(values).max()} leaves the limit {limit}")
        return values.astype(np.int64)

    # One scale a map for its filters: standardisation takes it out again.
    filt = np.stack([whole(f, FILT_RMS, FILT_LIMIT) for f in net.filt])
    w1, w2 = (whole(w, MIX_RMS, MIX_LIMIT) for w in (net.w1, net.w2))
    encoder = Encoder(filt, w1, w2, np.zeros(OUT, dtype=np.int64))
    # The offset that centres v, measured on the rounded weights.
    maps = sketches(8192, torch.Generator().manual_seed(4)).double().numpy()
    mean = np.mean([encode_float(encoder, m).reshape(OUT, -1).mean(1) for m in maps], axis=0)
    b2 = np.rint(mean / OFFSET_STEP).astype(np.int64) * OFFSET_STEP
    return Encoder(encoder.filt, encoder.w1, encoder.w2, b2)


def main() -> None:
    torch.set_num_threads(1)
    encoder = to_integers(train())
    np.savez(WEIGHTS, filt=encoder.filt, w1=encoder.w1, w2=encoder.w2, b2=encoder.b2)
    print(f"encoder {encoder.digest}")


if __name__ == "__main__":
    main()
