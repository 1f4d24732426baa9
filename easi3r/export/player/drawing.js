// Points on the canvas, and what is drawn over them.

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
  prepareFilm();
  lineBuffer = gl.createBuffer();
  uploadAll();
  gl.enable(gl.DEPTH_TEST);
  gl.enable(gl.SCISSOR_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
}

function attributes(which, buffer, stride, ...columns) {
  for (let k = 0; k < 5; k++) gl.disableVertexAttribArray(k);
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
  if (!splats || gl.isContextLost()) return;
  keepBlocks();
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
                               $("dots").value, $("ground").value, paint(), pressed("static"),
                               pressed("trail") && [...hidden], every]);
  if (seen !== kept) {
    gl.bindFramebuffer(gl.FRAMEBUFFER, still.frame);
    gl.scissor(0, 0, width, height);
    gl.clearColor(...$("ground").value.match(/\w\w/g).map(pair => parseInt(pair, 16) / 255), 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const rebuilt = drawn.filter(cell => !cell.film);
    if (pressed("static")) rebuilt.forEach(cell => drawStatic(cell, every));
    if (pressed("trail")) {  // ghosts hide nothing of what is drawn later: the depth stays as it was
      copy(still.frame, whole.frame, gl.DEPTH_BUFFER_BIT);
      gl.bindFramebuffer(gl.FRAMEBUFFER, still.frame);
      rebuilt.forEach(cell => drawGhosts(cell, every));
      copy(whole.frame, still.frame, gl.DEPTH_BUFFER_BIT);
    }
    kept = seen;
  }
  copy(still.frame, whole.frame, gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.bindFramebuffer(gl.FRAMEBUFFER, whole.frame);
  for (const cell of drawn) {
    if (cell.film) drawFilm(cell);
    else drawOver(cell, density, Math.ceil(coarse / 2));
  }
  copy(whole.frame, null, gl.COLOR_BUFFER_BIT);
  placeFrames(drawn, density);
  showFilmed();
  if (state.cost) return;
  state.cost = 1;
  requestAnimationFrame(measure);
}

function drawOver(cell, density, every) {  // what stands still
  drawMoving(cell, every);
  const { scene } = cell;
  if (flight.view) return;  // to see what the video will show
  if (pressed("path") && !pressed("through")) drawLines(cell, density, cameraPath(scene));
  if (flight.open && !pressed("through")) drawLinesThrough(cell, density, pathLines());
  if (pressed("trail")) drawLinesThrough(cell, density, trails(scene));
  drawLinesThrough(cell, density, rulerLine());
}

function use(which, { scene, width, height, camera: { view, lens } }) {
  gl.useProgram(which.id);
  gl.uniformMatrix4fv(which.view, false, view);
  gl.uniform4fv(which.lens, lens);
  gl.uniform2f(which.canvas, width, height);
  const reach = Math.hypot(...scene.span) + scene.distance;
  gl.uniform2f(which.range, 0.004 * scene.distance, 4 * (reach + state.view.away));
}

function usePoints(cell, every, block = 0) {  // each so many points only, larger ones
  const { scene } = cell;
  enter(cell);
  use(splats, cell);
  attributes(splats, bufferOf(scene, block), POINT * every, ["place", 3, gl.UNSIGNED_SHORT, 0],
             ["along", 3, gl.BYTE, 6], ["across", 3, gl.BYTE, 9], ["colour", 4, gl.UNSIGNED_BYTE, 12],
             ["marks", 2, gl.UNSIGNED_BYTE, 16]);
  gl.uniform3fv(splats.low, scene.low);
  gl.uniform3fv(splats.span, scene.span);
  gl.uniform2fv(splats.sizes, scene.sizes);
  gl.uniform1f(splats.scale, 1.4 * every ** 0.65 * $("dots").value);
  gl.uniform1f(splats.alpha, 1);
  gl.uniform1i(splats.first, block ? scene.stillCount : 0);
  useColours();
}

function drawRange({ start, count }, every) {
  const first = Math.ceil(start / every), number = Math.floor((start + count - 1) / every) + 1 - first;
  if (number > 0) gl.drawArrays(gl.POINTS, first, number);
}

function drawStatic(cell, every) {
  const { still, stillCount } = cell.scene;
  usePoints(cell, every);
  if (paint() !== "seen") return drawRange({ start: 0, count: stillCount }, every);
  for (const range of still) {
    useMoment(range.index);
    drawRange(range, every);
  }
}

function drawMoving(cell, every) {
  if (pressed("moving")) drawStep(cell, state.step, every);
}

function drawStep(cell, step, every, alpha = 1) {
  const { scene } = cell, block = blockOf(scene, step);
  if (!bufferOf(scene, block)) return;  // it comes soon
  usePoints(cell, every, block);
  gl.uniform1f(splats.alpha, alpha);
  useMoment(shownStep(scene, step));
  shownParts(scene, step).forEach(range => drawRange(range, every));
}

function drawGhosts(cell, every) {  // where the moving objects are at other times, faintly
  // Depth first, then colour where the depth is the same: every pixel of the ghosts is blended once.
  gl.colorMask(false, false, false, false);
  trailSteps().forEach(step => drawStep(cell, step, every));
  gl.colorMask(true, true, true, true);
  gl.enable(gl.BLEND);
  trailSteps().forEach(step => drawStep(cell, step, every, 0.45));
  gl.disable(gl.BLEND);
}
