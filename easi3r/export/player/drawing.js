// Points, lines and the outline of the picture on the canvas.

function program(vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    const works = gl.getShaderParameter(shader, gl.COMPILE_STATUS) || gl.isContextLost();
    if (!works) throw Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  const places = { id: made };
  for (let k = gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS) - 1; k >= 0; k--) {
    const { name } = gl.getActiveUniform(made, k);
    places[name] = gl.getUniformLocation(made, name);
  }
  for (let k = gl.getProgramParameter(made, gl.ACTIVE_ATTRIBUTES) - 1; k >= 0; k--) {
    const { name } = gl.getActiveAttrib(made, k);
    places[name] = gl.getAttribLocation(made, name);
  }
  return places;
}

function prepare() {  // also after the browser has taken the graphics card away and given it back
  layers = kept = null;
  splats = program(SPLAT, SPLAT_PIXEL);
  lines = program(LINE, LINE_PIXEL);
  buffers = { points: pointData.map(() => gl.createBuffer()), lines: gl.createBuffer() };
  pointData.forEach((rows, k) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.points[k]);
    gl.bufferData(gl.ARRAY_BUFFER, rows, gl.STATIC_DRAW);
  });
  gl.enable(gl.DEPTH_TEST);
  gl.enable(gl.SCISSOR_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
}

function attributes(which, buffer, stride, ...columns) {
  for (let k = 0; k < 4; k++) gl.disableVertexAttribArray(k);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  for (const [name, length, type, offset] of columns) {
    gl.enableVertexAttribArray(which[name]);
    gl.vertexAttribPointer(which[name], length, type, type !== gl.FLOAT, stride, offset);
  }
}

const redraw = () => { if (!state.dirty) { state.dirty = true; requestAnimationFrame(draw); } };

// What stands still is kept as a picture with its depth until it is seen from elsewhere: to play, only what moves is
// drawn anew, on a copy.
function layer(width, height) {
  const frame = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
  const parts = [[gl.COLOR_ATTACHMENT0, gl.RGBA8], [gl.DEPTH_ATTACHMENT, gl.DEPTH_COMPONENT24]].map(([at, format]) => {
    const part = gl.createRenderbuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, part);
    gl.renderbufferStorage(gl.RENDERBUFFER, format, width, height);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, at, gl.RENDERBUFFER, part);
    return part;
  });
  return { frame, free: () => { gl.deleteFramebuffer(frame); parts.forEach(part => gl.deleteRenderbuffer(part)); } };
}

function copy(from, to, what) {
  const { width, height } = canvas;
  gl.scissor(0, 0, width, height);
  gl.bindFramebuffer(gl.READ_FRAMEBUFFER, from);
  gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, to);
  gl.blitFramebuffer(0, 0, width, height, 0, 0, width, height, what, gl.NEAREST);
}

// A computer that is slow at it draws fewer pixels and points while something moves, and all of them once it rests.
const RESTS = 300, SMOOTH = 50, BEARABLE = 120;  // milliseconds: until it rests; that a whole picture takes

function coarseness() {  // so many times fewer
  const moves = state.playing || state.inHand;
  return !moves || state.cost < SMOOTH ? 1 : state.cost < BEARABLE ? 2 : 4;
}

function moved() {  // by hand
  state.inHand = true;
  redraw();
}

function rest() {
  state.inHand = false;
  redraw();
}

function finish() {  // gl.finish does not wait everywhere
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
}

function measure() {  // what a whole picture costs; the first does not count, shaders are translated for it
  finish();
  const began = performance.now();
  kept = null;
  draw();
  finish();
  state.cost = performance.now() - began;
}

function draw() {
  state.dirty = false;
  if (!pointData || gl.isContextLost()) return;
  const coarse = coarseness(), density = Math.min(devicePixelRatio || 1, 2) / Math.sqrt(coarse);
  clearTimeout(state.rest);
  if (coarse > 1) state.rest = setTimeout(rest, RESTS);
  const every = coarse > 1 && (!state.playing || pressed("through")) ? coarse : 1;  // of the points at rest
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map(side => Math.round(side * density));
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height || !layers) {
    Object.assign(canvas, { width, height });
    layers?.forEach(each => each.free());
    layers = [layer(width, height), layer(width, height)];
    kept = null;
  }
  const [still, whole] = layers, drawn = cells().map(cell => ({ ...cell, camera: currentCamera(cell) }));
  const seen = JSON.stringify([drawn.map(({ scene, ...cell }) => cell), wiping() && [$("left").value, $("right").value],
                               $("dots").value, $("ground").value, pressed("static"), every]);
  if (seen !== kept) {
    gl.bindFramebuffer(gl.FRAMEBUFFER, still.frame);
    gl.scissor(0, 0, width, height);
    gl.clearColor(...$("ground").value.match(/\w\w/g).map(pair => parseInt(pair, 16) / 255), 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (pressed("static")) drawn.forEach(cell => drawStatic(cell, every));
    kept = seen;
  }
  copy(still.frame, whole.frame, gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.bindFramebuffer(gl.FRAMEBUFFER, whole.frame);
  for (const cell of drawn) {
    drawMoving(cell, Math.ceil(coarse / 2));
    if (pressed("path") && !pressed("through")) drawLines(cell, density);
  }
  copy(whole.frame, null, gl.COLOR_BUFFER_BIT);
  placeFrames(drawn, density);
  if (state.cost) return;
  state.cost = 1;
  requestAnimationFrame(measure);
}

function use(which, { scene, width, height, camera: { view, lens } }) {
  gl.useProgram(which.id);
  gl.uniformMatrix4fv(which.view, false, view);
  gl.uniform4fv(which.lens, lens);
  gl.uniform2f(which.canvas, width, height);
  const reach = Math.hypot(...scene.span) + scene.distance;
  gl.uniform2f(which.range, 0.004 * scene.distance, 4 * (reach + state.view.away));
}

function usePoints(cell, every) {  // each so many points only, larger ones
  const { scene } = cell;
  enter(cell);
  use(splats, cell);
  attributes(splats, buffers.points[scenes.indexOf(scene)], 16 * every, ["place", 3, gl.UNSIGNED_SHORT, 0],
             ["along", 3, gl.BYTE, 6], ["across", 3, gl.BYTE, 9], ["colour", 4, gl.UNSIGNED_BYTE, 12]);
  gl.uniform3fv(splats.low, scene.low);
  gl.uniform3fv(splats.span, scene.span);
  gl.uniform2fv(splats.sizes, scene.sizes);
  gl.uniform1f(splats.scale, 1.4 * every ** 0.65 * $("dots").value);
  gl.uniform1f(splats.push, 1);
  gl.uniform1f(splats.alpha, 1);
}

function drawRange(start, count, every) {
  const first = Math.ceil(start / every), number = Math.floor((start + count - 1) / every) + 1 - first;
  if (number > 0) gl.drawArrays(gl.POINTS, first, number);
}

function drawStatic(cell, every) {
  usePoints(cell, every);
  drawRange(0, cell.scene.static, every);
}

function drawMoving(cell, every) {
  const { scene } = cell;
  usePoints(cell, every);
  const step = which => drawRange(scene.starts[which], scene.moving[which], every);
  if (pressed("moving")) step(state.step);
  if (!pressed("trail")) return;
  // Depth first, then colour where the depth is the same: every pixel of the ghosts is blended once.
  const ghosts = trailSteps();
  gl.uniform1f(splats.push, 1.004);  // behind the object of this moment where both are
  gl.colorMask(false, false, false, false);
  ghosts.forEach(step);
  gl.colorMask(true, true, true, true);
  gl.enable(gl.BLEND);
  gl.uniform1f(splats.alpha, 0.45);
  ghosts.forEach(step);
  gl.disable(gl.BLEND);
}

function trailSteps() {
  const stride = Math.max(1, lastStep / 8);
  const steps = Array.from({ length: Math.floor(lastStep / stride + 1e-6) + 1 }, (_, k) => Math.round(k * stride));
  return steps.filter(step => step !== state.step);
}

function timeColour(step, alpha) {  // blue at the start of the clip, over magenta, to orange at its end
  const stops = [[70, 130, 255], [225, 80, 200], [255, 160, 50]], at = 2 * step / Math.max(lastStep, 1);
  const first = Math.min(Math.floor(at), 1);
  return [...stops[first].map((value, k) => (value + (at - first) * (stops[first + 1][k] - value)) / 255), alpha];
}

function drawLines(cell, density) {
  const { scene } = cell, segments = [], [pictureWidth, pictureHeight] = scene.size;
  for (let k = 0; k < lastStep; k++) {
    const [from, to] = [k, k + 1].map(step => solvedCamera(scene, step).eye);
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

  const vertices = segments.flatMap(([from, to, c]) => {
    const p = [[from, to, 1], [from, to, -1], [to, from, 1], [to, from, -1]]
      .map(([near, far, side]) => [...near, ...far, ...c, side]);
    return [...p[0], ...p[1], ...p[2], ...p[0], ...p[2], ...p[3]];
  });
  use(lines, cell);
  attributes(lines, buffers.lines, 44, ["from", 3, gl.FLOAT, 0], ["to", 3, gl.FLOAT, 12], ["colour", 4, gl.FLOAT, 24],
             ["corner", 1, gl.FLOAT, 40]);
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(vertices), gl.DYNAMIC_DRAW);
  gl.uniform1f(lines.width, 3.2 * density);  // the outer half pixels fade
  gl.enable(gl.BLEND);
  gl.drawArrays(gl.TRIANGLES, 0, segments.length * 6);
  gl.disable(gl.BLEND);
}
