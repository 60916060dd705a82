"""Draws meshes carried by bones: a shadow map, the picture, and the owner and distance of every pixel."""

from dataclasses import dataclass
from types import TracebackType
from typing import Final

import moderngl
import numpy as np
from numpy.typing import NDArray

from training.render import glsl
from training.render.camera import ViewCamera, unit
from training.render.gl import open_context
from training.render.mesh import Mesh
from training.render.skinning import Skin

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_LIGHTS: Final = ("sun_colour", "fill_colour", "sky_colour", "ground_colour", "exposure")
SHADOW_PX: Final = 1024
RIM: Final = 0.4
MAX_CONTACTS: Final = 32


@dataclass(frozen=True, slots=True)
class Lighting:
    """``sun`` points towards the key light; colours are linear RGB."""

    sun: tuple[float, float, float] = (0.35, 0.8, 0.5)
    sun_colour: tuple[float, float, float] = (0.95, 0.9, 0.82)
    fill: tuple[float, float, float] = (-0.7, 0.3, 0.6)
    fill_colour: tuple[float, float, float] = (0.16, 0.18, 0.22)
    sky_colour: tuple[float, float, float] = (0.5, 0.52, 0.56)
    ground_colour: tuple[float, float, float] = (0.26, 0.24, 0.22)
    exposure: float = 1.25


class Renderer:
    """One scene's mesh and paints on the card; draw as many frames as wanted.

    Args:
        mesh: everything there is, vertices bound to bones of the array given to ``draw``.
        paints: (L, H, W, 3) uint8 texture layers.
        focus: centre and half extent (m) of the region in which things cast shadows.
    """

    def __init__(
        self,
        mesh: Mesh,
        paints: NDArray[np.uint8],
        camera: ViewCamera,
        lighting: Lighting,
        focus: tuple[F64, float],
        samples: int = 4,
    ) -> None:
        self.camera, self.lighting = camera, lighting
        self._ctx = ctx = open_context()
        self._programs = {
            "shadow": ctx.program(glsl.SHADOW_VERTEX, glsl.SHADOW_FRAGMENT),
            "depth": ctx.program(glsl.SHADOW_VERTEX, glsl.SHADOW_FRAGMENT),
            "colour": ctx.program(glsl.COLOUR_VERTEX, glsl.COLOUR_FRAGMENT),
            "catcher": ctx.program(glsl.COLOUR_VERTEX, glsl.CATCHER_FRAGMENT),
            "owner": ctx.program(glsl.OWNER_VERTEX, glsl.OWNER_FRAGMENT),
        }
        self._build_arrays(mesh)
        self._build_targets(samples)
        self._build_textures(paints)
        self._set_uniforms(focus)
        self._draw_still()

    def _build_arrays(self, mesh: Mesh) -> None:
        """What does not move (bone 0) is drawn once; only what moves casts shadows, only the floor catches them."""
        ctx = self._ctx
        self._skin = Skin(mesh)
        places, vertices = self._skin.places, mesh.vertices[self._skin.order]
        triangles = self._skin.triangles
        self._places = ctx.buffer(places.tobytes())
        looks = np.zeros(len(vertices), [("colour", "f4", 4), ("paint", "f4", 3), ("owner", "f4")])
        for name in ("colour", "paint", "owner"):
            looks[name] = vertices[name]
        self._looks = ctx.buffer(looks.tobytes())
        corners = vertices[triangles]
        moving = corners["skin"][:, 0, 0] > 0
        floor = ~moving & (corners["position"][..., 1] < 0.02).all(1) & (corners["normal"][:, 0, 1] > 0.9)

        def array(program: str, which: NDArray[np.bool_]) -> moderngl.VertexArray:
            indices = ctx.buffer(np.ascontiguousarray(triangles[which]).tobytes())
            return self._vertex_array(self._programs[program], indices)

        self._arrays = {
            "shadow": array("shadow", moving),
            "still_depth": array("depth", ~moving),
            "still_colour": array("colour", ~moving),
            "moving_colour": array("colour", moving),
            "catcher": array("catcher", floor),
            "owner": array("owner", moving | ~moving),
        }

    def _vertex_array(self, program: moderngl.Program, indices: moderngl.Buffer) -> moderngl.VertexArray:
        content = []
        for buffer, layout in (
            (self._places, (("position", "3f"), ("normal", "3f"))),
            (self._looks, (("colour", "4f"), ("paint", "3f"), ("owner", "1f"))),
        ):
            parts = [form if name in program else f"{int(form[0]) * 4}x" for name, form in layout]
            names = [name for name, _ in layout if name in program]
            if names:
                content.append((buffer, " ".join(parts), *names))
        return self._ctx.vertex_array(program, content, indices)

    def _build_targets(self, samples: int) -> None:
        ctx, size = self._ctx, (self.camera.width_px, self.camera.height_px)
        self._shadow = ctx.depth_texture((SHADOW_PX, SHADOW_PX))
        self._shadow.compare_func = "<="
        self._shadow.repeat_x = self._shadow.repeat_y = False
        self._shadow_target = ctx.framebuffer(depth_attachment=self._shadow)
        self._picture = ctx.framebuffer(
            ctx.renderbuffer(size, 3, samples=samples), ctx.depth_renderbuffer(size, samples=samples)
        )
        self._still = ctx.framebuffer(
            ctx.renderbuffer(size, 3, samples=samples), ctx.depth_renderbuffer(size, samples=samples)
        )
        self._resolved = ctx.framebuffer(ctx.renderbuffer(size, 3))
        self._samples = samples
        self._owner = ctx.framebuffer(
            [ctx.renderbuffer(size, 1), ctx.renderbuffer(size, 1, dtype="f4")], ctx.depth_renderbuffer(size)
        )

    def _build_textures(self, paints: NDArray[np.uint8]) -> None:
        layers, height, width = paints.shape[:3]
        self._paints = self._ctx.texture_array((width, height, layers), 3, np.ascontiguousarray(paints).tobytes())
        self._paints.build_mipmaps()
        self._paints.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)

    def _set_uniforms(self, focus: tuple[F64, float]) -> None:
        light, sun = sun_matrix(np.asarray(self.lighting.sun, float), *focus)
        camera = self.camera.matrix()
        for program in self._programs.values():
            for name, matrix in (("camera", camera), ("light", light)):
                if name in program:
                    _write(program, name, matrix.T)
        _write(self._programs["depth"], "light", camera.T)
        values = {name: getattr(self.lighting, name) for name in _LIGHTS}
        values |= {"sun": tuple(sun), "fill": tuple(unit(self.lighting.fill)), "eye": self.camera.eye}
        values |= {"texel": 1.0 / SHADOW_PX, "paints": 0, "shadow": 1}
        for program in (self._programs["colour"], self._programs["catcher"]):
            for name, value in values.items():
                if name in program:
                    program[name] = value

    def draw(self, bones: F64, contacts: F64 | None = None, blur: int = 1) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 of one pose.

        Args:
            bones: (B, 4, 4), or (S, B, 4, 4) for S poses within the time the shutter is open (motion blur).
            contacts: (C, 4) spheres (centre and radius, m) that darken the floor near them.
        """
        poses = bones if bones.ndim == 4 else bones[None]
        images = [self._draw(pose, contacts) for pose in poses]
        if len(images) == 1:
            return images[0]
        return np.asarray(np.sum(images, axis=0, dtype=np.uint16) // len(images), np.uint8)

    def _upload(self, bones: F64) -> None:
        self._places.write(self._skin.posed(bones).tobytes())

    def _draw_still(self) -> None:
        """The room without anybody in it, once: it takes most of a picture's pixels."""
        ctx = self._ctx
        self._shadow_target.clear()
        ctx.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        ctx.front_face = "cw"  # the picture is drawn upside down
        self._still.use()
        self._still.clear(0.5, 0.5, 0.5)
        self._paints.use(0)
        self._shadow.use(1)
        self._programs["colour"]["rim"] = 0.0
        self._arrays["still_colour"].render()

    def _draw(self, bones: F64, contacts: F64 | None) -> NDArray[np.uint8]:
        ctx = self._ctx
        self._upload(bones)
        ctx.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._shadow_target.use()
        self._shadow_target.clear()
        ctx.front_face = "ccw"
        self._arrays["shadow"].render()
        ctx.front_face = "cw"
        self._picture.use()
        self._picture.clear()
        ctx.copy_framebuffer(self._picture, self._still)
        self._picture.color_mask = (False, False, False, False)
        self._arrays["still_depth"].render()
        self._picture.color_mask = (True, True, True, True)
        self._paints.use(0)
        self._shadow.use(1)
        self._programs["colour"]["rim"] = RIM
        self._arrays["moving_colour"].render()
        self._catch_shadows(contacts)
        ctx.copy_framebuffer(self._resolved, self._picture)
        data = self._resolved.read(components=3, alignment=1)
        return np.frombuffer(data, np.uint8).reshape(self.camera.height_px, self.camera.width_px, 3)

    def _catch_shadows(self, contacts: F64 | None) -> None:
        ctx, program = self._ctx, self._programs["catcher"]
        spheres = np.zeros((MAX_CONTACTS, 4), "f4")
        count = 0 if contacts is None else min(len(contacts), MAX_CONTACTS)
        if contacts is not None:
            spheres[:count] = contacts[:count]
        _write(program, "contacts", spheres)
        program["contact_count"] = count
        ctx.enable(moderngl.BLEND)
        ctx.blend_func = moderngl.DST_COLOR, moderngl.ZERO
        ctx.depth_func = "<="
        ctx.polygon_offset = (-1.0, -1.0)
        self._arrays["catcher"].render()
        ctx.polygon_offset = (0.0, 0.0)
        ctx.depth_func = "<"
        ctx.disable(moderngl.BLEND)

    def owners(self, bones: F64) -> tuple[NDArray[np.uint8], F32]:
        """Of every pixel the owner (H, W) (0 the room, 1.. figures) and the depth (H, W) along the axis, m."""
        self._upload(bones)
        self._ctx.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._ctx.front_face = "cw"
        self._owner.use()
        self._owner.clear()
        self._arrays["owner"].render()
        shape = (self.camera.height_px, self.camera.width_px)
        number = np.frombuffer(self._owner.read(components=1, alignment=1), np.uint8).reshape(shape)
        raw = self._owner.read(components=1, attachment=1, alignment=1, dtype="f4")
        return number, np.frombuffer(raw, np.float32).reshape(shape)

    def release(self) -> None:
        self._ctx.release()

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _write(program: moderngl.Program, name: str, values: NDArray[np.floating]) -> None:
    uniform = program[name]
    assert isinstance(uniform, moderngl.Uniform)
    uniform.write(np.ascontiguousarray(values, "f4").tobytes())


def sun_matrix(sun: F64, centre: F64, half_m: float) -> tuple[F64, F64]:
    """World → light clip space (4, 4) of a parallel light from ``sun``, and its unit direction."""
    z = unit(sun)
    x = unit(np.cross([0.0, 1.0, 0.001], z))
    rotation = np.stack([x, np.cross(z, x), z])
    m = np.eye(4)
    m[:3, :3] = rotation / half_m
    m[2] *= -0.5
    m[:3, 3] = -m[:3, :3] @ np.asarray(centre, float)
    return m, z
