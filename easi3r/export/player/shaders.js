// The programs of the graphics card.

// lens: focal lengths and principal point, such that lens.xy * x / z + lens.zw runs from -1 to 1 over the canvas.
const PROJECT = `#version 300 es
  precision highp float;
  uniform mat4 view;
  uniform vec4 lens;
  uniform vec2 canvas, range;
  vec4 project(vec3 p) {
    float near = range.x, far = range.y;
    return vec4(lens.x * p.x + lens.z * p.z, -lens.y * p.y - lens.w * p.z,
                ((far + near) * p.z - 2.0 * far * near) / (far - near), p.z);
  }`;

const SPLAT = PROJECT + `
  in vec3 place, along, across;
  in vec4 colour;
  in vec2 marks;  // confidence, motion
  uniform int first;  // number of the first point of the block
  uniform int channel;  // 0 the picture's colours, 1 when seen, 2 confidence, 3 motion, 4 the number of the point
  uniform vec3 ramp[3];
  uniform float moment;  // when these points were seen, 0 to 1
  uniform vec3 low, span;
  uniform vec2 sizes;
  uniform float scale;
  flat out vec3 shade, inverse;
  flat out vec4 depth;
  flat out float side;
  vec2 onCanvas(vec3 p, vec3 axis) {  // how far the point moves on the canvas, in pixels, if it goes along the axis
    return 0.5 * canvas * lens.xy * (axis.xy - p.xy / p.z * axis.z) / p.z;
  }
  vec3 painted() {
    if (channel == 0) return colour.rgb;
    int number = first + gl_VertexID + 1;
    if (channel == 4) return vec3(number & 255, number >> 8 & 255, number >> 16) / 255.0;
    float at = 2.0 * (channel == 1 ? moment : channel == 2 ? marks.x : marks.y);
    vec3 tone = at < 1.0 ? mix(ramp[0], ramp[1], at) : mix(ramp[1], ramp[2], at - 1.0);
    float light = dot(colour.rgb, vec3(0.3, 0.6, 0.1));
    return channel == 1 ? tone * mix(0.55, 1.1, light) : tone;  // large areas of one colour keep their shapes
  }
  void main() {
    vec3 p = (view * vec4(low + place * span, 1.0)).xyz;
    gl_Position = project(p);
    float size = scale * exp2(mix(sizes.x, sizes.y, colour.a));
    vec3 u = mat3(view) * along * size, v = mat3(view) * across * size;
    vec2 a = onCanvas(p, u), b = onCanvas(p, v);
    float xx = a.x * a.x + b.x * b.x + 0.3, xy = a.x * a.y + b.x * b.y, yy = a.y * a.y + b.y * b.y + 0.3;
    float largest = 0.5 * (xx + yy) + sqrt(0.25 * (xx - yy) * (xx - yy) + xy * xy);
    side = min(2.0 * sqrt(largest) + 1.0, 256.0);
    inverse = vec3(yy, -xy, xx) / (xx * yy - xy * xy);
    vec2 slope = a * u.z + b * v.z;
    depth = vec4(inverse.x * slope.x + inverse.y * slope.y, inverse.y * slope.x + inverse.z * slope.y, p.z,
                 0.6 * min(length(u), length(v)));
    gl_PointSize = side;
    shade = painted();
  }`;

// Splats are arched a little, so that where neighbours overlap each shows the part that is nearest to its middle.
const SPLAT_PIXEL = `#version 300 es
  precision highp float;
  flat in vec3 shade, inverse;
  flat in vec4 depth;
  flat in float side;
  uniform float alpha;
  uniform vec2 range;
  out vec4 pixel;
  void main() {
    vec2 d = (gl_PointCoord - 0.5) * side;
    float square = inverse.x * d.x * d.x + 2.0 * inverse.y * d.x * d.y + inverse.z * d.y * d.y;
    if (square > 1.0) discard;
    float z = max(depth.z + dot(depth.xy, d) + depth.w * square, range.x);
    gl_FragDepth = (range.y - range.x * range.y / z) / (range.y - range.x);
    pixel = vec4(shade, alpha);
  }`;

const LINE = PROJECT + `
  in vec3 from, to;
  in vec4 colour;
  in float corner;  // which side of the line
  uniform float width;
  out vec4 shade;
  out float side;
  void main() {
    vec3 p = (view * vec4(from, 1.0)).xyz, q = (view * vec4(to, 1.0)).xyz;
    float near = range.x * 1.01;
    if (p.z < near && q.z > near) p = mix(p, q, (near - p.z) / (q.z - p.z));
    if (q.z < near && p.z > near) q = mix(q, p, (near - q.z) / (p.z - q.z));
    vec4 start = project(p), end = project(q);
    vec2 way = (end.xy / end.w - start.xy / start.w) * canvas;
    vec2 off = vec2(-way.y, way.x) / max(length(way), 1e-6) * corner * width / canvas;
    gl_Position = start + vec4(off * start.w, 0.0, 0.0);
    shade = colour;
    side = corner;
  }`;

const LINE_PIXEL = `#version 300 es
  precision highp float;
  in vec4 shade;
  in float side;
  uniform float width;
  out vec4 pixel;
  void main() { pixel = vec4(shade.rgb, shade.a * min(1.0, (1.0 - abs(side)) * 0.5 * width)); }  // smooth rims`;


// A frame of the clip where the camera saw it. extent: of the whole picture, in halves of the canvas.
const FILM = `#version 300 es
  uniform vec2 extent;
  out vec2 place;
  void main() {
    place = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    gl_Position = vec4((2.0 * place - 1.0) * extent * vec2(1.0, -1.0), 0.0, 1.0);
  }`;

const FILM_PIXEL = `#version 300 es
  precision highp float;
  in vec2 place;
  uniform sampler2D picture;
  out vec4 pixel;
  void main() { pixel = vec4(texture(picture, place).rgb, 1.0); }`;
