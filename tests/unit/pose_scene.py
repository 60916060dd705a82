"""A scene of drawn people whose poses are known: stands in for the networks where only the tracking is tested."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.common.types import LOCAL_STREAM, Frame
from services.pose.core.geometry import Instances, Region
from services.pose.core.processor import Plan
from services.pose.core.profiles import Profile

STANDING = np.array(
    [
        [0.00, -0.62], [0.05, -0.67], [-0.05, -0.67], [0.11, -0.63], [-0.11, -0.63],
        [0.33, -0.30], [-0.33, -0.30], [0.42, 0.22], [-0.42, 0.22], [0.44, 0.68], [-0.44, 0.68],
        [0.20, 0.70], [-0.20, 0.70], [0.22, 1.45], [-0.22, 1.45], [0.22, 2.15], [-0.22, 2.15],
    ]
)  # fmt: skip
"""(17, 2) torso lengths from the middle of the torso, seen from the front."""


@dataclass(frozen=True)
class Actor:
    """One person: where the torso's middle is (px) at a time, None: not in the picture."""

    place: Callable[[float], tuple[float, float] | None]
    size_px: float = 60.0
    colour: tuple[int, int, int] = (200, 40, 40)
    curl_hz: float = 0.5
    depth: float = 0.0  # the larger is in front

    def pose(self, time_s: float) -> NDArray[np.float64] | None:
        """(17, 2) px."""
        at = self.place(time_s)
        if at is None:
            return None
        k = STANDING.copy()
        angle = np.pi * 0.4 * (1 - np.cos(2 * np.pi * self.curl_hz * time_s))  # 0: arm down
        for elbow, wrist, side in ((7, 9, 1.0), (8, 10, -1.0)):
            k[wrist] = k[elbow] + 0.46 * np.array([side * 0.3 * np.sin(angle), np.cos(angle)])
        return k * self.size_px + at


@dataclass
class Scene:
    """Draws frames and answers plans. ``noise``: of keypoints, torso lengths; drawn from the sequence number alone."""

    actors: Sequence[Actor]
    width_px: int = 640
    height_px: int = 480
    fps: float = 30.0
    noise: float = 0.01
    cuts: frozenset[int] = frozenset()
    frozen: frozenset[int] = frozenset()
    crops: list[int] = field(default_factory=list)

    def frames(self, count: int, first: int = 0) -> Iterator[Frame]:
        for n in range(first, first + count):
            yield Frame(LOCAL_STREAM, n, n / self.fps, self.picture(n), n in self.cuts, n in self.frozen)

    def picture(self, n: int) -> NDArray[np.uint8]:
        image = np.full((self.height_px, self.width_px, 3), 90, np.uint8)
        for actor in sorted(self.actors, key=lambda a: a.depth):
            k = actor.pose(n / self.fps)
            if k is None:
                continue
            x0, y0 = np.maximum(k[[5, 6, 11, 12]].min(axis=0) - 3, 0).astype(int)
            x1, y1 = np.maximum(k[[5, 6, 13, 14]].max(axis=0) + 3, 0).astype(int)
            image[y0:y1, x0:x1] = actor.colour
        return image

    def people(self, n: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64], Actor]]:
        """Keypoints, scores and actor of everyone seen in picture n; who is covered by another is not seen."""
        out = []
        for i, actor in enumerate(self.actors):
            k = actor.pose(n / self.fps)
            if k is None or self._covered(actor, n):
                continue
            rng = np.random.default_rng(1000 * n + i)
            k = k + rng.normal(0, self.noise * actor.size_px, k.shape)
            inside = ((k >= 0) & (k < (self.width_px, self.height_px))).all(axis=1)
            out.append((k, np.where(inside, 0.8, 0.05), actor))
        return out

    def _covered(self, actor: Actor, n: int) -> bool:
        mine = actor.place(n / self.fps)
        for other in self.actors:
            at = other.place(n / self.fps)
            if other.depth <= actor.depth or at is None or mine is None:
                continue
            if abs(at[0] - mine[0]) < 0.35 * actor.size_px and abs(at[1] - mine[1]) < actor.size_px:
                return True
        return False

    def answer(self, plan: Plan) -> list[Instances]:
        """What a good network would say of the plan's crops."""
        everyone = self.people(plan.frame.sequence)
        self.crops.append(len(plan.requests))
        return [self._answer_one(r.region, r.single, everyone) for r in plan.requests]

    def _answer_one(self, region: Region, single: bool, everyone: list) -> Instances:  # type: ignore[type-arg]
        x0, y0, x1, y1 = region.box
        middle = np.array([region.cx_px, region.cy_px])
        found = []
        for k, s, actor in everyone:
            torso = k[[5, 6, 11, 12]].mean(axis=0)
            if x0 < torso[0] < x1 and y0 < torso[1] < y1 and actor.size_px > 0.05 * region.size_px:
                inside = (k[:, 0] > x0) & (k[:, 0] < x1) & (k[:, 1] > y0) & (k[:, 1] < y1)
                found.append((float(np.hypot(*(torso - middle))), k, np.where(inside, s, 0.05)))
        found.sort(key=lambda f: f[0])
        if single:
            found = found[:1]
        if not found:
            return Instances.none()
        keypoints = np.stack([k for _, k, _ in found]).astype(np.float32)
        scores = np.stack([s for _, _, s in found]).astype(np.float32)
        follow = Profile.get("movenet").follow
        return Instances(
            keypoints,
            scores,
            np.full(len(found), 0.8, np.float32),
            tuple(follow(k, s) or region for k, s in zip(keypoints, scores, strict=True)),
        )
