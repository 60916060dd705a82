"""The shaders. Vertices come in the world (``skinning``); colours are lit in linear light and written as sRGB."""

from typing import Final

SHADOW_VERTEX: Final = """
#version 330
uniform mat4 light;
in vec3 position;
void main() { gl_Position = light * vec4(position, 1.0); }
"""
SHADOW_FRAGMENT: Final = "#version 330\nvoid main() {}\n"

_LIT: Final = """
float lit() {
    vec3 p = v_light.xyz * 0.5 + 0.5;
    if (any(lessThan(p, vec3(0.0))) || any(greaterThan(p, vec3(1.0)))) return 1.0;
    p.z -= 0.0015;
    float s = texture(shadow, p + vec3(-1.3, -0.6, 0.0) * texel) + texture(shadow, p + vec3(0.6, -1.3, 0.0) * texel)
            + texture(shadow, p + vec3(1.3, 0.6, 0.0) * texel) + texture(shadow, p + vec3(-0.6, 1.3, 0.0) * texel);
    return 0.25 * s;
}
"""

COLOUR_VERTEX: Final = """
#version 330
uniform mat4 camera; uniform mat4 light;
in vec3 position; in vec3 normal; in vec4 colour; in vec3 paint;
out vec3 v_world; out vec3 v_normal; out vec4 v_colour; out vec3 v_paint; out vec4 v_light;
void main() {
    v_world = position;
    v_normal = normal;
    v_colour = vec4(colour.rgb * colour.rgb, colour.a);
    v_paint = paint;
    v_light = light * vec4(position + normal * 0.012, 1.0);
    gl_Position = camera * vec4(position, 1.0);
}
"""

COLOUR_FRAGMENT: Final = (
    """
#version 330
uniform sampler2DArray paints; uniform sampler2DShadow shadow;
uniform vec3 eye; uniform vec3 sun; uniform vec3 sun_colour; uniform vec3 fill; uniform vec3 fill_colour;
uniform vec3 sky_colour; uniform vec3 ground_colour; uniform float exposure; uniform float texel;
uniform float rim;
in vec3 v_world; in vec3 v_normal; in vec4 v_colour; in vec3 v_paint; in vec4 v_light;
out vec4 pixel;
"""
    + _LIT
    + """
void main() {
    vec3 albedo = v_colour.rgb;
    if (v_paint.z > -0.5) {
        vec3 t = texture(paints, v_paint).rgb;
        albedo *= t * t;
    }
    vec3 n = normalize(v_normal), v = normalize(eye - v_world);
    float face = dot(n, sun), s = lit() * smoothstep(-0.05, 0.15, face);
    vec3 light = mix(ground_colour, sky_colour, 0.5 + 0.5 * n.y);
    light += sun_colour * s * clamp(0.12 + 0.88 * face, 0.0, 1.0);
    light += fill_colour * max(dot(n, fill), 0.0);
    float shine = pow(max(dot(n, normalize(sun + v)), 0.0), 28.0);
    vec3 c = albedo * light + v_colour.a * shine * s * sun_colour;
    // round things darken towards their edges, as if by the light that their neighbours keep off
    c *= exposure * (1.0 - rim + rim * smoothstep(0.0, 0.6, abs(dot(n, v))));
    c = c * (1.0 + c * 0.12) / (1.0 + 0.45 * c);
    pixel = vec4(sqrt(clamp(c, 0.0, 1.0)), 1.0);
}
"""
)

CATCHER_FRAGMENT: Final = (
    """
#version 330
uniform sampler2DShadow shadow;
uniform vec3 sun; uniform vec3 sun_colour; uniform vec3 fill; uniform vec3 fill_colour; uniform vec3 sky_colour;
uniform float texel; uniform vec4 contacts[32]; uniform int contact_count;
in vec3 v_world; in vec3 v_normal; in vec4 v_light;
out vec4 pixel;
"""
    + _LIT
    + """
void main() {
    float open = 1.0;
    for (int i = 0; i < contact_count; i++) {
        vec3 d = contacts[i].xyz - v_world;
        float squared = dot(d, d), q = contacts[i].w * contacts[i].w / squared;
        if (q > 0.01) open *= 1.0 - clamp(q * (max(0.0, d.y) * inversesqrt(squared) + 0.25), 0.0, 0.85);
    }
    vec3 key = sun_colour * clamp(0.12 + 0.88 * sun.y, 0.0, 1.0), rest = fill_colour * max(fill.y, 0.0);
    vec3 ratio = (sky_colour * open + key * lit() + rest) / (sky_colour + key + rest);
    pixel = vec4(sqrt(ratio), 1.0);
}
"""
)

OWNER_VERTEX: Final = """
#version 330
uniform mat4 camera;
in vec3 position; in float owner;
flat out float v_owner;
void main() { v_owner = owner; gl_Position = camera * vec4(position, 1.0); }
"""
OWNER_FRAGMENT: Final = """
#version 330
flat in float v_owner;
layout(location = 0) out float number; layout(location = 1) out float distance_m;
void main() { number = v_owner / 255.0; distance_m = 1.0 / gl_FragCoord.w; }
"""
