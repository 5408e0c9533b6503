"""The rival: the hands-on code of a course as it is, written from its description.

Both images of a pair are decoded from PNG for every sample, in the training process; random crops of 128; values in
[-1, 1]; batches of 64; float32; Adam at 1e-3; the loss is read in every step. It restores one image at a time, as it
was left after training: no `model.eval()`, no `torch.no_grad()`.

Its mistakes (pairs by directory order, the wrong random numbers seeded) are left out: they cost no time.
"""

import random

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    """(clean path, scan path) -> two random crops, float32 (3, 128, 128) in [-1, 1]."""

    def __init__(self, pairs, size=128):
        self.pairs, self.size = pairs, size

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        clean, scan = (cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in self.pairs[i])
        top = random.randint(0, clean.shape[0] - self.size)
        left = random.randint(0, clean.shape[1] - self.size)
        crops = [image[top : top + self.size, left : left + self.size] for image in (scan, clean)]
        if random.random() < 0.5:
            crops = [np.fliplr(crop) for crop in crops]
        if random.random() < 0.5:
            crops = [np.flipud(crop) for crop in crops]
        turns = random.randint(0, 3)
        crops = [np.rot90(crop, turns) for crop in crops]
        return tuple(scaled(np.ascontiguousarray(crop)) for crop in crops)


def scaled(image):
    """uint8 (H, W, 3) -> float32 (3, H, W) in [-1, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1)).float() / 127.5 - 1


def loader(pairs, batch_size=64):
    return DataLoader(Pairs(pairs), batch_size=batch_size, shuffle=True)


def train(model, batches, optimizer, device="cpu"):
    """One epoch; returns the mean loss."""
    model.train()
    running = 0.0
    for scan, clean in batches:
        scan, clean = scan.to(device), clean.to(device)
        optimizer.zero_grad()
        noise = model(scan)
        loss = (noise - (scan - clean)).square().sum() / (2 * len(scan))
        loss.backward()
        optimizer.step()
        running += loss.item()
    return running / len(batches)


def restore(model, path):
    """The restored image of a file: uint8 (H, W, 3)."""
    scan = scaled(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))[None]
    restored = (scan - model(scan)).clamp(-1, 1)
    return ((restored[0].detach().numpy().transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)
