"""A scene: people in a room before a camera, and the meshes and bones that draw it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.render.bones import BONES, B, J, Measures, pose_bones
from training.render.camera import ViewCamera
from training.render.figure import Look, figure_mesh
from training.render.head import face_paint
from training.render.mesh import Mesh, merge
from training.render.props import RoomLook, bench, dumbbell, room_mesh, room_paints, seat, turned
from training.render.renderer import Lighting, Renderer
from training.simulator.motion import Motion, TrueRepetition

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """One person of a scene, in the scene's world and time.

    ``joints`` (T, 27, 3) m, ``grip`` (T, 2, 3); ``held``, ``support`` and ``repetitions`` as in ``Motion``.
    """

    name: str
    look: Look
    joints: F64
    grip: F64
    exercise: str
    repetitions: tuple[TrueRepetition, ...] = ()
    held: frozenset[str] = frozenset({"left", "right"})
    support: str = "none"

    @classmethod
    def of(
        cls, motion: Motion, look: Look, name: str, place_m: tuple[float, float] = (0.0, 0.0), yaw_deg: float = 0.0
    ) -> "Actor":
        """A motion put at (x, z), turned by ``yaw_deg`` (positive: to the person's left)."""
        turn = turned(yaw_deg)[:3, :3]
        joints = np.asarray(motion.joints, float) @ turn.T + [place_m[0], 0.0, place_m[1]]
        grip = np.asarray(motion.grip, float) @ turn.T
        return cls(name, look, joints, grip, motion.exercise, motion.repetitions, motion.held, motion.support)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """``seed`` draws textures, clutter and sensor noise; ``noise``: its standard deviation, of 255;
    ``blur``: poses averaged per picture (1: no motion blur)."""

    actors: tuple[Actor, ...]
    camera: ViewCamera
    lighting: Lighting = field(default_factory=Lighting)
    room: RoomLook = field(default_factory=RoomLook)
    fps: float = 30.0
    seed: int = 0
    noise: float = 2.5
    blur: int = 1
    samples: int = 4

    @property
    def frames(self) -> int:
        return len(self.actors[0].joints)

    def resized(self, width_px: int, height_px: int) -> "Scene":
        return replace(self, camera=replace(self.camera, width_px=width_px, height_px=height_px))


def _support_mesh(actor: Actor) -> Mesh | None:
    """The seat or bench under an actor, in the world."""
    pelvis = np.median(actor.joints[:, J["pelvis"]], axis=0)
    if actor.support == "seat":
        hips = np.median(actor.joints[:, J["left_hip"]] - actor.joints[:, J["right_hip"]], axis=0)
        yaw = float(np.degrees(np.arctan2(-hips[2], hips[0])))
        return seat(float(pelvis[1]) - 0.1).moved(turned(yaw, shift=(float(pelvis[0]), 0, float(pelvis[2]))))
    if actor.support == "bench":
        neck = np.median(actor.joints[:, J["neck"]], axis=0)
        along = neck - pelvis
        yaw = float(np.degrees(np.arctan2(along[0], along[2])))
        middle = (pelvis + neck) / 2 + 0.22 * along / np.linalg.norm(along)
        top = float(min(pelvis[1], neck[1])) - 0.115
        return bench(top).moved(turned(yaw, shift=(float(middle[0]), 0, float(middle[2]))))
    return None


def _actor_mesh(actor: Actor, measures: Measures, face_layer: int) -> Mesh:
    parts = [figure_mesh(actor.look, measures, face_layer)]
    look = actor.look
    for side in ("left", "right"):
        if side in actor.held or ("both" in actor.held and side == "left"):
            big = 1.25 if "both" in actor.held else 1.0
            bell = dumbbell(look.weight_radius_m * big, look.weight_shape, look.weight_colour)
            parts.append(bell.bound(B[f"{side}_bell"]))
    support = _support_mesh(actor)
    return merge(parts if support is None else [*parts, support.bound(B["root"])])


def _grain(scene: Scene, rng: np.random.Generator) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Sensor noise: what to add to and what to take from a picture; eight pairs, to be used in turn."""
    if scene.noise <= 0:
        return []
    shape = (8, scene.camera.height_px, scene.camera.width_px, 1)
    noise = np.broadcast_to(np.rint(rng.normal(0, scene.noise, shape)), (*shape[:3], 3))
    both = (np.clip(sign * noise, 0, 255).astype(np.uint8) for sign in (1, -1))
    return list(zip(*both, strict=True))


class SceneRenderer:
    """Frames of a scene, one after the other; a context manager."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        rng = np.random.default_rng(scene.seed)
        paints = room_paints(scene.room, rng)
        meshes = [room_mesh(scene.room, rng, 0, 1).bound(0)]
        bones = [np.tile(np.eye(4), (scene.frames, 1, 1, 1))]
        for k, actor in enumerate(scene.actors):
            measures = Measures.of(actor.joints)
            mesh = _actor_mesh(actor, measures, len(paints))
            paints.append(face_paint(actor.look.head, rng))
            # the root of a figure is its own bone, so that a bench casts a shadow as what moves does
            meshes.append(mesh.owned(k + 1, 1 + k * len(BONES)))
            bones.append(pose_bones(actor.joints, actor.grip, measures, "both" in actor.held))
        self.bones = np.concatenate(bones, axis=1)
        everyone = np.concatenate([a.joints.reshape(-1, 3) for a in scene.actors])
        centre = (everyone.min(0) + everyone.max(0)) / 2
        reach = float(np.linalg.norm(everyone - centre, axis=1).max()) + 0.5
        self._renderer = Renderer(
            merge(meshes), np.stack(paints), scene.camera, scene.lighting, (centre, reach), scene.samples
        )
        self._grain = _grain(scene, rng)

    def contacts(self, i: int) -> F64:
        """(C, 4) spheres that darken the floor: feet, hips and shoulders of everybody."""
        out = []
        for actor in self.scene.actors:
            p = actor.joints[i]
            for name, radius in (
                ("left_ankle", 0.09), ("right_ankle", 0.09), ("left_toe", 0.06), ("right_toe", 0.06), ("pelvis", 0.2)
            ):  # fmt: skip
                out.append([*p[J[name]], radius])
        return np.array(out)

    def frame(self, i: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 picture of frame ``i``."""
        blur = self.scene.blur
        if blur > 1 and i + 1 < len(self.bones):
            shutter = 0.5 * np.arange(blur) / blur - 0.25
            near = self.bones[max(i - 1, 0)], self.bones[i], self.bones[i + 1]
            poses = np.stack([near[1] + s * ((near[2] - near[1]) if s > 0 else (near[1] - near[0])) for s in shutter])
            image = self._renderer.draw(poses, self.contacts(i))
        else:
            image = self._renderer.draw(self.bones[i], self.contacts(i))
        if not self._grain:
            return image
        more, less = self._grain[i % len(self._grain)]
        return np.asarray(cv2.subtract(cv2.add(image, more), less), np.uint8)

    def owners(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """See ``Renderer.owners``; owner k + 1 is actor k."""
        return self._renderer.owners(self.bones[i])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self.frame(i) for i in range(self.scene.frames))

    def __enter__(self) -> "SceneRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.release()


def longest(actors: Sequence[Actor]) -> tuple[Actor, ...]:
    """All actors made as long as the longest: who is done stands as they ended."""
    frames = max(len(a.joints) for a in actors)

    def held(a: F64) -> F64:
        return np.concatenate([a, np.repeat(a[-1:], frames - len(a), axis=0)])

    return tuple(replace(a, joints=held(a.joints), grip=held(a.grip)) for a in actors)
