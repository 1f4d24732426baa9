// Lines in the scene: the camera's path, the movers' trails, what is measured.

const MOST_SEGMENTS = 500;  // of the path: it is made anew for every picture

function cameraPath(scene) {
  const segments = [], [pictureWidth, pictureHeight] = scene.size;
  const stride = Math.ceil(lastStep / MOST_SEGMENTS);
  for (let k = 0; k < lastStep; k += stride) {
    const [from, to] = [k, Math.min(k + stride, lastStep)].map(step => solvedCamera(scene, step).eye);
    segments.push([from, to, timeColour(k, k < state.step ? 1 : 0.4)]);
  }
  const { right, down, forward, eye } = solvedCamera(scene, state.step);
  const [fx, fy, cx, cy] = scene.frames[state.step].lens;
  const depth = 0.04 * scene.distance, colour = timeColour(state.step, 1);
  const corner = (u, v) => [[right, (u - cx) / fx], [down, (v - cy) / fy], [forward, 1]]
    .reduce((at, [axis, length]) => add(at, axis, length * depth), eye);
  const [l, r, t, b] = [-0.5, pictureWidth - 0.5, -0.5, pictureHeight - 0.5];
  const corners = [corner(l, t), corner(r, t), corner(r, b), corner(l, b)];
  const tip = corner((l + r) / 2, t - 0.2 * pictureHeight);
  corners.forEach((place, k) => segments.push([eye, place, colour], [place, corners[(k + 1) % 4], colour]));
  segments.push([corners[0], tip, colour], [tip, corners[1], colour]);  // marks the upper side
  return segments;
}

function drawLines(cell, density, segments) {  // segments: [from, to, [r, g, b, alpha]], places in the world
  if (!segments.length) return;
  const vertices = segments.flatMap(([from, to, c]) => {
    const p = [[from, to, 1], [from, to, -1], [to, from, 1], [to, from, -1]]
      .map(([near, far, side]) => [...near, ...far, ...c, side]);
    return [...p[0], ...p[1], ...p[2], ...p[0], ...p[2], ...p[3]];
  });
  use(lines, cell);
  attributes(lines, lineBuffer, 44, ["from", 3, gl.FLOAT, 0], ["to", 3, gl.FLOAT, 12], ["colour", 4, gl.FLOAT, 24],
             ["corner", 1, gl.FLOAT, 40]);
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(vertices), gl.DYNAMIC_DRAW);
  gl.uniform1f(lines.width, 3.2 * density);  // the outer half pixels fade
  gl.enable(gl.BLEND);
  gl.drawArrays(gl.TRIANGLES, 0, segments.length * 6);
  gl.disable(gl.BLEND);
}

function drawLinesThrough(cell, density, segments) {  // also, but faintly, where something is in front of them
  gl.depthFunc(gl.GREATER);
  drawLines(cell, density, segments.map(([from, to, [r, g, b, alpha]]) => [from, to, [r, g, b, 0.6 * alpha]]));
  gl.depthFunc(gl.LEQUAL);
  drawLines(cell, density, segments);
}
