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
  splats = program(SPLAT, SPLAT_PIXEL);
  lines = program(LINE, LINE_PIXEL);
  buffers = { points: gl.createBuffer(), lines: gl.createBuffer() };
  gl.bindBuffer(gl.ARRAY_BUFFER, buffers.points);
  gl.bufferData(gl.ARRAY_BUFFER, pointData, gl.STATIC_DRAW);
  gl.enable(gl.DEPTH_TEST);
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

function draw() {
  state.dirty = false;
  if (!pointData || gl.isContextLost()) return;
  const density = Math.min(devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map(side => Math.round(side * density));
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  gl.viewport(0, 0, width, height);
  const ground = $("ground").value.match(/\w\w/g).map(pair => parseInt(pair, 16) / 255);
  gl.clearColor(...ground, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const camera = currentCamera();
  drawPoints(camera);
  if (pressed("path") && !pressed("through")) drawLines(camera, density);
  outlinePicture(density);
}

function use(which, { view, lens }) {
  gl.useProgram(which.id);
  gl.uniformMatrix4fv(which.view, false, view);
  gl.uniform4fv(which.lens, lens);
  gl.uniform2f(which.canvas, canvas.width, canvas.height);
  const reach = Math.hypot(...scene.span) + scene.distance;
  gl.uniform2f(which.range, 0.004 * scene.distance, 4 * (reach + state.view.away));
}

function drawPoints(camera) {
  use(splats, camera);
  attributes(splats, buffers.points, 16, ["place", 3, gl.UNSIGNED_SHORT, 0], ["along", 3, gl.BYTE, 6],
             ["across", 3, gl.BYTE, 9], ["colour", 4, gl.UNSIGNED_BYTE, 12]);
  gl.uniform3fv(splats.low, scene.low);
  gl.uniform3fv(splats.span, scene.span);
  gl.uniform2fv(splats.sizes, scene.sizes);
  gl.uniform1f(splats.scale, 1.4 * $("dots").value);
  gl.uniform1f(splats.push, 1);
  gl.uniform1f(splats.alpha, 1);
  const step = which => scene.moving[which] && gl.drawArrays(gl.POINTS, starts[which], scene.moving[which]);
  if (pressed("static") && scene.static) gl.drawArrays(gl.POINTS, 0, scene.static);
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

function drawLines(camera, density) {
  const segments = [];
  for (let k = 0; k < lastStep; k++) {
    segments.push([solvedCamera(k).eye, solvedCamera(k + 1).eye, timeColour(k, k < state.step ? 1 : 0.4)]);
  }
  const { right, down, forward, eye } = solvedCamera(state.step), [fx, fy, cx, cy] = scene.frames[state.step].lens;
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
  use(lines, camera);
  attributes(lines, buffers.lines, 44, ["from", 3, gl.FLOAT, 0], ["to", 3, gl.FLOAT, 12], ["colour", 4, gl.FLOAT, 24],
             ["corner", 1, gl.FLOAT, 40]);
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(vertices), gl.DYNAMIC_DRAW);
  gl.uniform1f(lines.width, 2.2 * density);
  gl.enable(gl.BLEND);
  gl.drawArrays(gl.TRIANGLES, 0, segments.length * 6);
  gl.disable(gl.BLEND);
}

function outlinePicture(density) {
  const zoom = zoomToFit() / density, [width, height] = [zoom * pictureWidth, zoom * pictureHeight];
  $("picture").hidden = !pressed("through");
  Object.assign($("picture").style, { width: width + "px", height: height + "px",
    left: (canvas.clientWidth - width) / 2 + "px", top: (canvas.clientHeight - height) / 2 + "px" });
}
