"""What the rest of formcheck knows of a pose network: how to cut crops for it and how to read what it says.

A profile has two roles. *follow* (``single=True``): a crop around one known person; the answer is that person.
*detect* (``single=False``): a crop of the scene; the answer is everyone in it. The two may be one network or two; what
detects may find whole skeletons (MoveNet) or only places (BlazePose).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.common.errors import ConfigError, ShapeError
from services.common.types import F32
from services.pose.core import blazepose, geometry, movenet
from services.pose.core.geometry import Border, Instances, Region

__all__ = ["PROFILES", "Instances", "Network", "PoseBackend", "Profile", "Region"]


class PoseBackend(Protocol):
    """Runs networks; knows nothing of people."""

    def infer(self, model: str, crops: NDArray[np.uint8]) -> tuple[F32, ...]:
        """crops (N, S, S, 3) uint8 RGB, any N → the network's outputs, each (N, ...).

        Raises:
            ModelError: no such model, or it fails.
            ShapeError: the crops are not what the model takes.
        """
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """One model file: ``name`` is what a backend calls it, ``size_px`` the side of its square input."""

    name: str
    size_px: int
    border: Border


Decode = Callable[[Sequence[F32], Sequence[Region], Sequence[bool]], list[Instances]]
Follow = Callable[[F32, F32], Region | None]


@dataclass(frozen=True, slots=True)
class Profile:
    """A pose network with its manners. ``Profile.get("movenet")``.

    ``detects_skeletons``: the detect role's answers are as good as the follow role's, so it may also be asked about
    a person who is followed (where two overlap, say); else they are ``rough``.
    """

    name: str
    following: Network
    detecting: Network
    decode_follow: Decode
    decode_detect: Decode
    follow_region: Follow
    detects_skeletons: bool

    @staticmethod
    def get(name: str) -> "Profile":
        """The profile of that name.

        Raises:
            ConfigError: there is none.
        """
        try:
            return PROFILES[name]
        except KeyError:
            raise ConfigError(f"unknown pose profile {name!r}: use one of {', '.join(PROFILES)}") from None

    @property
    def networks(self) -> tuple[Network, ...]:
        """Each distinct network, once."""
        return tuple(dict.fromkeys((self.following, self.detecting)))

    def network(self, single: bool) -> Network:
        """The network of a role; crops of both roles may go in one batch exactly if it is the same one."""
        return self.following if single else self.detecting

    def crop(self, image: NDArray[np.uint8], region: Region, single: bool = True) -> NDArray[np.uint8]:
        """What the role's network sees of ``region``: (S, S, 3) uint8."""
        net = self.network(single)
        return geometry.crop(image, region, net.size_px, net.border)

    def decode(self, outputs: Sequence[F32], regions: Sequence[Region], single: Sequence[bool]) -> list[Instances]:
        """What one batch of one network says, in px of the picture.

        Args:
            outputs: of ``PoseBackend.infer``, each (N, ...).
            regions: the N regions the crops were cut from.
            single: N, the role of each; where the roles have different networks all must be of one role.
        Returns:
            N ``Instances``. single: at most one person, the one in the middle. Otherwise everyone, best first.
        Raises:
            ShapeError: the lengths differ, or roles of two networks are mixed.
        """
        n = len(regions)
        if len(single) != n or any(len(o) != n for o in outputs):
            raise ShapeError(
                f"{n} regions need as many roles and outputs, got {len(single)} roles and "
                f"{[len(o) for o in outputs]} outputs"
            )
        if n == 0:
            return []
        if self.following != self.detecting and len(set(single)) > 1:
            raise ShapeError(f"{self.name} follows and detects with two networks: decode them one by one")
        decode = self.decode_follow if single[0] else self.decode_detect
        return decode(outputs, regions, single)

    def follow(self, keypoints: F32, scores: F32) -> Region | None:
        """Where to look for a person in the next picture, from keypoints (17, 2) px and scores (17,) of this one;
        None where too little of the person is seen to follow."""
        return self.follow_region(keypoints, scores)


PROFILES: dict[str, Profile] = {}
"""Filled below; the order is the order of preference."""


def _add(profile: Profile) -> None:
    PROFILES[profile.name] = profile


def _movenet(name: str, following: Network, detecting: Network) -> Profile:
    return Profile(name, following, detecting, movenet.decode_single, movenet.decode, movenet.follow_region, True)


def _blazepose(name: str, following: Network) -> Profile:
    return Profile(
        name,
        following,
        Network("blazepose_detector", blazepose.DETECTOR_PX, "black"),
        blazepose.decode_landmarks,
        blazepose.decode_detector,
        blazepose.follow_region,
        False,
    )


_ONE_LIGHTNING = Network("movenet_lightning_single", movenet.LIGHTNING_PX, "black")
_LIGHTNING = Network("movenet_lightning", movenet.LIGHTNING_PX, "black")
_ONE_THUNDER = Network("movenet_thunder_single", movenet.THUNDER_PX, "black")
_MULTIPOSE = Network("movenet_multipose", movenet.MULTIPOSE_PX, "black")

_add(_movenet("movenet", _ONE_LIGHTNING, _LIGHTNING))
_add(_movenet("movenet-multi", _ONE_LIGHTNING, _MULTIPOSE))
_add(_movenet("movenet-thunder", _ONE_THUNDER, _MULTIPOSE))
_add(_blazepose("blazepose", Network("blazepose_full", blazepose.LANDMARK_PX, "replicate")))
_add(_blazepose("blazepose-lite", Network("blazepose_lite", blazepose.LANDMARK_PX, "replicate")))
