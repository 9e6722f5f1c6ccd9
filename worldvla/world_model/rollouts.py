"""Training on what the model itself imagined: rollouts that go on from one training step to the next.

A rollout in imagination continues its own errors, which are unlike noise: they blur, fade and
grow. So some windows of every batch continue the model's own rollouts of recorded episodes.
What it denoises of such a window in one step is the history of the window a chunk later, which
the next training step reads; from there it has to find the true future again, until the
episode ends and another one begins. So the model learns on the states that it reaches, at every
depth (Ross et al. 2011, arXiv 1011.0686; scheduled sampling, Bengio et al. 2015, arXiv
1506.03099), and no pass through the network is spent on reaching them: the weights that did are
a few steps old.

Shapes: R rollouts, h frames of history, latents C, h, w.
"""

import numpy as np
import torch

from worldvla.world_model.windows import Windows


class Rollouts:
    """The R windows that continue what was imagined, in the first rows of every batch.

    `tensors` and `load` carry them over an interruption.
    """

    def __init__(self, windows: Windows, count: int):
        self.windows = windows
        self.count = count
        self._index = np.zeros(0, np.int64)
        self._going = np.zeros(count, bool)
        self._offsets = torch.zeros(count, 2, dtype=torch.int64)
        self._recent = torch.zeros(0)

    def lead(self, index: np.ndarray, offsets: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
        """The batch of windows int64 [B] and shifts int64 [B, 2] whose first R rows are those of the rollouts.

        Where a rollout has ended the next one begins with the first chunk of the episode that was drawn; the very
        first ones begin with the windows drawn, so that they do not all end at once.
        """
        begun = index[: self.count]
        if len(self._index):
            begun = np.where(self._going, self._index, self.windows.first_chunk(begun))
        going = torch.from_numpy(self._going)[:, None]
        self._index = begun
        self._offsets = torch.where(going, self._offsets, offsets[: self.count])
        return np.concatenate([begun, index[self.count :]]), torch.cat([self._offsets, offsets[self.count :]])

    def going(self) -> np.ndarray:
        """int64: the rows whose history was imagined; the others begin and read real frames."""
        return np.flatnonzero(self._going)

    def recent(self) -> torch.Tensor:
        """Latents [len(going()), h, C, h, w]: the history of the rows `going`, shifted as they are."""
        return self._recent[torch.from_numpy(self.going()).to(self._recent.device)]

    def advance(self, recent: torch.Tensor, imagined: torch.Tensor) -> None:
        """A chunk further: the rows read `recent` [R, h, C, h, w] and gave `imagined` [R, F, C, h, w]."""
        self._recent = torch.cat([recent, imagined.detach().float()], dim=1)[:, -recent.shape[1] :]
        self._index, self._going = self.windows.next_chunk(self._index)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it, by name."""
        return {
            "index": torch.from_numpy(self._index),
            "going": torch.from_numpy(self._going),
            "offsets": self._offsets,
            "recent": self._recent,
        }

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """What `tensors` gave."""
        self._index, self._going = tensors["index"].numpy(), tensors["going"].numpy()
        self._offsets, self._recent = tensors["offsets"], tensors["recent"]
