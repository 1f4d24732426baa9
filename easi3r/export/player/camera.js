// Where the scene is looked at from.

const add = (a, b, factor = 1) => a.map((value, k) => value + factor * b[k]);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

function axes({ yaw, pitch }) {
  const forward = [Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
  const right = [Math.cos(yaw), 0, -Math.sin(yaw)];
  return { right, down: cross(forward, right), forward };
}

function worldToCamera(right, down, forward, eye) {  // column by column, as WebGL wants it
  return [0, 1, 2].flatMap(k => [right[k], down[k], forward[k], 0])
    .concat([right, down, forward].map(axis => -dot(axis, eye)), 1);
}

function solvedCamera({ frames }, step) {
  const m = frames[step].pose;
  const [right, down, forward, eye] = [0, 1, 2, 3].map(column => [m[column], m[column + 4], m[column + 8]]);
  return { right, down, forward, eye };
}

const outlined = scene => flight.open && !pressed("through") ? PICTURE : scene.size;  // which picture's rim is shown

function zoomToFit({ scene, width, height }) {  // canvas pixels per picture pixel with the whole picture in sight
  const [across, upright] = outlined(scene);
  return Math.min(width / across, height / upright);
}

function focalOfOrbit({ width, height }) {  // canvas pixels, the field of the view in sight
  const [across, upright] = flight.open ? framed(state.view.field) : state.view.field;
  return Math.min(width / across, height / upright) / 2;
}

function currentCamera(cell) {
  const { scene, width, height } = cell;
  if (flight.view) return lookFrom(flight.view, cell);
  if (!pressed("through")) {
    const { right, down, forward } = axes(state.view), focal = focalOfOrbit(cell);
    const eye = add(state.view.target, forward, -state.view.away);
    const lens = [2 * focal / width, 2 * focal / height, 0, 0];
    return { view: worldToCamera(right, down, forward, eye), lens };
  }
  const { right, down, forward, eye } = solvedCamera(scene, state.step), [pictureWidth, pictureHeight] = scene.size;
  const [fx, fy, cx, cy] = scene.frames[state.step].lens, zoom = zoomToFit(cell);
  const lens = [2 * fx * zoom / width, 2 * fy * zoom / height,  // whole numbers are centres of the picture's pixels
                2 * zoom * (cx + 0.5 - pictureWidth / 2) / width, 2 * zoom * (cy + 0.5 - pictureHeight / 2) / height];
  return { view: worldToCamera(right, down, forward, eye), lens };
}

function leaveCamera() {  // go on freely from where the camera is
  if (!pressed("through") && !flight.view) return;
  const { place: eye, turn } = viewNow(), { forward } = axesOf(turn);
  const away = scene.distance, field = fieldNow();
  state.view = { field, target: add(eye, forward, away), away, yaw: Math.atan2(forward[0], forward[2]),
                 pitch: Math.asin(Math.max(-1, Math.min(1, forward[1]))) };
  leavePath();
  press("through", false);
}

function onScreen(cell, place, density) {  // CSS pixels from the corner of the cell; null if it is behind the camera
  const { view, lens } = currentCamera(cell);
  const [x, y, z] = [0, 1, 2].map(row => dot([view[row], view[row + 4], view[row + 8]], place) + view[row + 12]);
  if (z <= 0) return null;
  return [(1 + lens[0] * x / z + lens[2]) * cell.width / 2, (1 + lens[1] * y / z + lens[3]) * cell.height / 2]
    .map(value => value / density);
}

function pixelOf({ frames, size }, step, place) {  // [row, column] where the camera of that step saw it
  const { right, down, forward, eye } = solvedCamera({ frames }, step), [fx, fy, cx, cy] = frames[step].lens;
  const ray = add(place, eye, -1), z = Math.max(dot(ray, forward), 1e-9);
  return [fy * dot(ray, down) / z + cy, fx * dot(ray, right) / z + cx]
    .map((value, k) => limit(Math.round(value), 0, size[1 - k] - 1));
}
