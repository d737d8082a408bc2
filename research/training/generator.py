"""Train the embedded StyleGAN2 generator by supervised distillation of ``training.heads``.

``python -m training.generator --out DIR`` learns z -> portrait: the target of a latent is the
renderer's picture of its factors, the loss L1 on a Laplacian pyramid and on finite differences.
No adversary, no photograph. One CPU core; resumable; the decay follows CPU seconds used, so the
process may be stopped and continued.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from research.training import heads
from research.training.stylegan2 import MAPPING_LAYERS, MAPPING_LR_MULTIPLIER, W_DIM, Generator

BATCH = 8
# (share of the budget at which the stage begins, resolution it trains)
STAGES = ((0.0, 16), (0.08, 32), (0.32, 64), (0.58, 128))
LEARNING_RATE, FINAL_RATE = 0.015, 0.0002
MAPPING_SPEED = 0.3  # learning rate of the mapping network relative to the synthesis network
EMA = 0.995
PYRAMID = 4


class Student(nn.Module):
    """A Generator whose first layer sees z through the fixed projection only.

    ``first`` (w_dim, N_FACTORS) replaces mapping.fc0.weight while training, so that no weight is
    spent on the 464 directions of z that move nothing; ``fold`` writes it back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generator = Generator()
        self.register_buffer("rows", heads.projection())
        n = heads.N_FACTORS
        first = torch.randn(W_DIM, n)
        # Each factor and its negative pass unmixed: a leaky ReLU loses nothing of such a pair.
        first[:n] = torch.eye(n) * math.sqrt(n)
        first[n : 2 * n] = -first[:n]
        self.first = nn.Parameter(first)
        mapping = self.generator.mapping
        mapping.fc0.weight.requires_grad_(False)
        with torch.no_grad():
            for k in range(1, MAPPING_LAYERS):
                weight = getattr(mapping, f"fc{k}").weight
                weight.mul_(0.6).add_(0.6 * math.sqrt(W_DIM) * torch.eye(W_DIM) / 0.01)
            for name, block in self.generator.synthesis.named_children():
                if name != "b4":
                    block.torgb.weight.mul_(0.2)

    def prepare_mapping(self, steps: int = 2500, batch: int = 256) -> float:
        """Teach the mapping network, before any picture, to hold ``heads.controls`` linearly in w.

        A linear read-out of w is fitted along with it and thrown away. Returns the last mean square
        error (the controls have variance about 1/3).
        """
        n = heads.controls(torch.zeros(1, heads.N_FACTORS)).shape[1]
        head = nn.Linear(W_DIM, n)
        rate = 0.004
        optimiser = torch.optim.Adam(
            [
                {"params": self.stored_mapping(), "speed": 1 / MAPPING_LR_MULTIPLIER},
                {"params": [self.first, *head.parameters()], "speed": 1.0},
            ],
            betas=(0.9, 0.99),
        )
        draw = torch.Generator().manual_seed(3)
        loss = torch.zeros(())
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = rate * group["speed"] * 0.5 * (1 + math.cos(math.pi * step / steps))
            factors = torch.randn(batch, heads.N_FACTORS, generator=draw)
            loss = (head(self.mapped(factors)) - heads.controls(factors)).square().mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        return loss.item()

    def stored_mapping(self) -> list[nn.Parameter]:
        """The mapping network's parameters stored at 1 / MAPPING_LR_MULTIPLIER of their size."""
        mapping = self.generator.mapping
        rest = [getattr(mapping, f"fc{k}").parameters() for k in range(1, MAPPING_LAYERS)]
        return [mapping.fc0.bias, *(p for group in rest for p in group)]

    def mapped(self, factors: Tensor) -> Tensor:
        """w (B, W_DIM) of factors (B, N_FACTORS)."""
        mapping = self.generator.mapping
        bias = mapping.fc0.bias * mapping.fc0.multiplier
        first = self.first / math.sqrt(factors.shape[1])
        return mapping.after_first(F.linear(factors, first, bias))

    def forward(self, factors: Tensor, stop: int) -> Tensor:
        w = self.mapped(factors)
        return self.generator.synthesis(w[:, None].expand(-1, self.generator.num_ws, -1), stop)

    @torch.no_grad()
    def fold(self) -> Generator:
        """The plain generator: fc0 filled in, w_avg estimated over 20,000 latents."""
        mapping = self.generator.mapping
        scale = math.sqrt(heads.Z_DIM / heads.N_FACTORS) / mapping.fc0.multiplier
        mapping.fc0.weight.copy_(self.first @ self.rows * scale)
        z = torch.randn(20_000, heads.Z_DIM, generator=torch.Generator().manual_seed(7))
        mapping.w_avg.copy_(mapping(z).mean(0))
        return self.generator


class Muon:
    """Momentum, then the nearest orthogonal matrix, as the step of every 3 x 3 weight.

    Per step it learned about 1.4 times as fast here as Adam alone. Newton-Schulz iteration after
    K. Jordan's Muon (2024); the step's root mean square is the learning rate, as with Adam.
    """

    MOMENTUM, ITERATIONS = 0.9, 4

    def __init__(self, weights: list[nn.Parameter]):
        self.weights = weights
        self.momenta = [torch.zeros_like(w) for w in weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for weight, momentum in zip(self.weights, self.momenta, strict=True):
            if weight.grad is None:
                continue
            momentum.mul_(self.MOMENTUM).add_(weight.grad)
            ahead = weight.grad + self.MOMENTUM * momentum
            step = self._orthogonal(ahead.flatten(1))
            weight.sub_((step * (rate * math.sqrt(max(step.shape)))).view_as(weight))

    def _orthogonal(self, x: Tensor) -> Tensor:
        x = x / (x.norm() + 1e-7)
        wide = x.shape[0] <= x.shape[1]
        x = x if wide else x.T
        for _ in range(self.ITERATIONS):
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        return x if wide else x.T


def _focus(resolution: int) -> Tensor:
    """(R, R) weights of the pixel loss: the face counts up to 2.5 times."""
    t = (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
    return 1 + 1.5 * torch.exp(-((t[None] / 0.4) ** 2) - ((t[:, None] - 0.05) / 0.35) ** 2)


def loss_of(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, plain L1): weighted L1, L1 of coarser levels and of finite differences."""
    error = image - target
    focus = _focus(error.shape[-1])
    l1 = error.abs()
    loss = (l1 * focus).mean()
    for axis in (2, 3):
        loss = loss + error.diff(dim=axis).abs().mean()
    level = error
    for _ in range(PYRAMID):
        level = F.avg_pool2d(level, 2)
        loss = loss + 0.7 * level.abs().mean()
    return loss, l1.detach().mean()


@torch.no_grad()
def batch_of(seed: int, resolution: int, rows: Tensor, count: int = BATCH) -> tuple[Tensor, Tensor]:
    """(factors, targets at this resolution) of latents drawn from ``seed``."""
    z = torch.randn(count, heads.Z_DIM, generator=torch.Generator().manual_seed(seed))
    factors = heads.factors_of(z, rows)
    picture = heads.render(factors, min(2 * resolution, 128))
    return factors, F.adaptive_avg_pool2d(picture, resolution)


def _save(path: Path, value: object) -> None:
    temporary = path.with_name(path.name + ".part")
    torch.save(value, temporary)
    os.replace(temporary, path)


def train(out: Path, budget_s: float, checkpoint_every_s: float = 180.0) -> None:
    """Train until ``budget_s`` CPU seconds are used; ``out/budget`` (a number) overrides it
    live."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    out.mkdir(parents=True, exist_ok=True)
    student, average = Student(), Student()
    average.load_state_dict(student.state_dict())
    if not (out / "checkpoint.pt").exists():
        print(f"mapping network prepared, error {student.prepare_mapping():.5f}", flush=True)
        average.load_state_dict(student.state_dict())
    stretched = MAPPING_SPEED / MAPPING_LR_MULTIPLIER
    convolutions, others = [], []
    for name, parameter in student.generator.synthesis.named_parameters():
        is_kernel = name.endswith(("conv0.weight", "conv1.weight"))
        (convolutions if is_kernel else others).append(parameter)
    muon = Muon(convolutions)
    groups = [
        {"params": others, "speed": 1.0},
        {"params": student.stored_mapping(), "speed": stretched},
        {"params": [student.first], "speed": MAPPING_SPEED},
    ]
    optimiser = torch.optim.Adam(groups, lr=LEARNING_RATE, betas=(0.9, 0.99), eps=1e-8)
    step, images, used = 0, 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        student.load_state_dict(state["student"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        muon.momenta = state["momenta"]
        step, images, used = state["step"], state["images"], state["used"]
    log_path = out / "generator.csv"
    fresh = not log_path.exists()
    log = log_path.open("a", newline="")
    writer = csv.writer(log)
    if fresh:
        writer.writerow(
            ["step", "images", "cpu_s", "wall", "resolution", "rate", "loss", "l1", "held_out_l1"]
        )
    budget_file = out / "budget"
    started, last_saved = time.process_time() - used, time.process_time()
    sums, stage_start, stage_now = [0.0, 0.0, 0], used, -1
    while True:
        used = time.process_time() - started
        if step % 20 == 0 and budget_file.exists():
            budget_s = float(budget_file.read_text())
        progress = used / budget_s
        done = progress >= 1
        stage = max(k for k, (begin, _) in enumerate(STAGES) if progress >= begin)
        resolution = STAGES[stage][1]
        if stage != stage_now:
            stage_now, stage_start = stage, used
        rate = FINAL_RATE + (LEARNING_RATE - FINAL_RATE) * 0.5 * (
            1 + math.cos(math.pi * min(progress, 1))
        )
        rate *= min(1.0, (used - stage_start) / 15 + 0.1)  # a new stage warms up
        for group in optimiser.param_groups:
            group["lr"] = rate * group["speed"]
        if not done:
            factors, target = batch_of(1000 + step, resolution, student.rows)
            loss, l1 = loss_of(student(factors, resolution), target)
            student.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_([p for p in student.parameters() if p.grad is not None], 20.0)
            optimiser.step()
            muon.step(rate)
            step, images = step + 1, images + BATCH
            decay = min(EMA, (step + 1) / (step + 10))
            with torch.no_grad():
                for mean, value in zip(average.parameters(), student.parameters(), strict=True):
                    mean.lerp_(value, 1 - decay)
            sums = [sums[0] + loss.item(), sums[1] + l1.item(), sums[2] + 1]
        if step % 100 == 0 or done:
            n = max(sums[2], 1)
            held_out = ""
            if time.process_time() - last_saved > checkpoint_every_s or done:
                last_saved = time.process_time()
                held_out = f"{_show(average, resolution, out, step):.5f}"
                _save(
                    checkpoint,
                    {"student": student.state_dict(), "average": average.state_dict(),
                     "optimiser": optimiser.state_dict(), "momenta": muon.momenta,
                     "step": step, "images": images, "used": used},
                )  # fmt: skip
                _save(out / "generator.pt", average.fold().state_dict())
            wall = time.strftime("%H:%M:%S")
            writer.writerow(
                [step, images, f"{used:.0f}", wall, resolution, f"{rate:.5f}",
                 f"{sums[0] / n:.5f}", f"{sums[1] / n:.5f}", held_out]
            )  # fmt: skip
            log.flush()
            sums = [0.0, 0.0, 0]
        if done:
            break
    (out / "done").write_text(f"{step} steps, {images} images, {used:.0f} CPU s\n")


@torch.no_grad()
def _show(student: Student, resolution: int, out: Path, step: int) -> float:
    """Write a contact sheet (target row above student row) and return the L1 on held-out
    latents."""
    from PIL import Image

    factors, target = batch_of(1, resolution, student.rows, 32)
    image = torch.cat([student(part, resolution) for part in factors.split(8)])
    rows = [half for k in range(0, 32, 8) for half in (target[k : k + 8], image[k : k + 8])]
    Image.fromarray(heads.sheet(torch.cat(rows)).numpy()).save(out / f"sheet_{step:06d}.png")
    return float((image - target).abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cpu-seconds", type=float, default=5400.0)
    arguments = parser.parse_args()
    train(arguments.out, arguments.cpu_seconds)


if __name__ == "__main__":
    main()
